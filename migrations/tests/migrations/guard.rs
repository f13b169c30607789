//! The audit trail's guard: the database refuses to change it, and a user who may not make the guard
//! still gets his schema.

use crate::support::{Own, identity, url_as};
use domain::StoreKind;
use migrations::{AuditGuard, run};
use sqlx::mysql::MySqlPool;

const INSERT: &str = "INSERT INTO audit
     (seq, at, tenant, actor, via, action, object, detail, request_id, prev_hash, hash)
 VALUES (1, UTC_TIMESTAMP(6), 'demo', 'ada', 'api', 'account.opened', 'acct_1', '{}', 'r',
     REPEAT(CHAR(0), 32), REPEAT(CHAR(1), 32))";

async fn entries(pool: &MySqlPool) -> i64 {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM audit");
    count.fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn the_database_refuses_to_change_or_remove_an_entry() {
    let own = Own::create().await;
    for _ in 0..2 {
        let made = run(&own.pool, identity(StoreKind::Accounts, 0)).await;
        assert_eq!(made.unwrap(), AuditGuard::Made);
    }
    sqlx::query(INSERT).execute(&own.pool).await.unwrap();
    for statement in [
        "UPDATE audit SET actor = 'eve'",
        "DELETE FROM audit",
        "REPLACE INTO audit SELECT * FROM (SELECT * FROM audit) a",
    ] {
        let refused = sqlx::query(statement).execute(&own.pool).await.unwrap_err();
        assert!(refused.to_string().contains("only ever added"), "{refused}");
    }
    assert_eq!(entries(&own.pool).await, 1);
    own.drop().await;
}

#[tokio::test]
async fn a_guard_that_was_taken_away_is_made_again() {
    let own = Own::migrated(StoreKind::Accounts).await;
    let mut conn = own.pool.acquire().await.unwrap();
    let away = sqlx::Executor::execute(&mut *conn, "DROP TRIGGER audit_refuse_update");
    away.await.unwrap();
    drop(conn);
    run(&own.pool, identity(StoreKind::Accounts, 0))
        .await
        .unwrap();
    sqlx::query(INSERT).execute(&own.pool).await.unwrap();
    let update = sqlx::query("UPDATE audit SET actor = 'eve'").execute(&own.pool);
    assert!(update.await.is_err());
    own.drop().await;
}

#[tokio::test]
async fn a_user_who_may_not_make_triggers_still_gets_the_schema() {
    let own = Own::create().await;
    let user = own.user_without_triggers().await;
    let plain = MySqlPool::connect(&url_as(&own, &user)).await.unwrap();
    for _ in 0..2 {
        let made = run(&plain, identity(StoreKind::Accounts, 0)).await.unwrap();
        let AuditGuard::NotAllowed(cause) = made else {
            panic!("{made:?}");
        };
        assert!(
            cause.contains("denied") || cause.contains("SUPER"),
            "{cause}"
        );
    }
    assert_eq!(entries(&plain).await, 0);
    // The same schema, run later by somebody who may.
    let made = run(&own.pool, identity(StoreKind::Accounts, 0)).await;
    assert_eq!(made.unwrap(), AuditGuard::Made);
    plain.close().await;
    own.drop_user(&user).await;
    own.drop().await;
}
