//! What callers notice of connections that a server has ended.

use crate::databases::{Own, Servers, with_stores_on};
use crate::support::BACK_OFFICE;
use domain::AccountId;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::time::Duration;
use store::StoresSettings;

/// Longer than a connection is used again without a test.
const IDLE: Duration = Duration::from_millis(600);

/// A session of the test's own with the database of this account.
async fn session_beside(own: &Own, account: AccountId) -> MySqlConnection {
    let name = own.routing().account_shard(account);
    let url = &own.settings.account_shards[usize::from(name.index)];
    MySqlConnection::connect(url).await.unwrap()
}

/// Ends the sessions that the stores have with the database of this account, as a restart does.
async fn end_sessions(own: &Own, account: AccountId) {
    let mut conn = session_beside(own, account).await;
    for session in sessions(&mut conn).await {
        let kill = AssertSqlSafe(format!("KILL {session}"));
        // It may be gone by itself.
        let _ = conn.execute(kill).await;
    }
    conn.close().await.unwrap();
}

async fn sessions(conn: &mut MySqlConnection) -> Vec<i64> {
    loop {
        let sessions = sqlx::query_scalar(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
             WHERE db = DATABASE() AND id <> CONNECTION_ID()",
        );
        // It fails while some other test's statement is no UTF-8.
        if let Ok(sessions) = sessions.fetch_all(&mut *conn).await {
            return sessions;
        }
    }
}

/// However the pool looks after its connections meanwhile: it once made them seem freshly used.
#[tokio::test]
async fn sessions_that_were_ended_while_idle_are_never_used() {
    let settings = StoresSettings {
        idle_timeout_s: 2,
        ..StoresSettings::default()
    };
    with_stores_on(Servers::of_environment(), settings, async |own| {
        let account = own.account(1_000).await;
        for _ in 0..10 {
            own.accounts.find(BACK_OFFICE, account).await.unwrap();
            tokio::time::sleep(IDLE).await;
            end_sessions(&own, account).await;
            let found = own.accounts.find(BACK_OFFICE, account).await;
            assert!(found.unwrap().is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_is_used_again() {
    let settings = StoresSettings::default();
    with_stores_on(Servers::of_environment(), settings, async |own| {
        let account = own.account(1_000).await;
        let mut conn = session_beside(&own, account).await;
        let before = sessions(&mut conn).await;
        for _ in 0..10 {
            own.accounts.find(BACK_OFFICE, account).await.unwrap();
        }
        let after = sessions(&mut conn).await;
        let is_kept = before.iter().any(|session| after.contains(session));
        assert!(is_kept, "{before:?}, then {after:?}");
        conn.close().await.unwrap();
    })
    .await;
}
