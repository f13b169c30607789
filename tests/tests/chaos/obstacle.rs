//! What stands in the way of one account's confirm or cancel, for as long as a test wants it.

use crate::scenario::Scenario;
use domain::AccountId;
use sqlx::mysql::{MySql, MySqlPool};
use sqlx::{AssertSqlSafe, Executor, Transaction};

/// Somebody else's SQL transaction that does not end: the account's row is locked.
pub struct RowLock(Transaction<'static, MySql>);

impl RowLock {
    pub async fn on(s: &Scenario, account: AccountId) -> Self {
        let mut other = s.own.pool_of(account).begin().await.unwrap();
        let locked = sqlx::query("SELECT held FROM accounts WHERE id = ? FOR UPDATE")
            .bind(&account.as_bytes()[..])
            .fetch_one(&mut *other);
        locked.await.unwrap();
        Self(other)
    }

    pub async fn release(self) {
        self.0.rollback().await.unwrap();
    }
}

/// What a rule forbids.
#[derive(Clone, Copy)]
pub enum Forbidden {
    /// Booking an entry, so a confirm.
    Entry,
    /// Releasing a hold, so a cancel.
    Release,
}

/// A rule of the database that refuses statements for one account.
pub struct Rule {
    pool: MySqlPool,
    drop: String,
}

impl Rule {
    pub const TEXT: &str = "an obstacle of the test";

    pub async fn against(s: &Scenario, forbidden: Forbidden, account: AccountId) -> Self {
        let (name, event, guard) = match forbidden {
            Forbidden::Entry => ("no_entry", "BEFORE INSERT ON entries", "TRUE"),
            Forbidden::Release => ("no_release", "BEFORE UPDATE ON holds", "NEW.state = 4"),
        };
        let account_hex = format!("{:032x}", u128::from_be_bytes(*account.as_bytes()));
        let create = format!(
            "CREATE TRIGGER {name} {event} FOR EACH ROW
             IF NEW.account = UNHEX('{account_hex}') AND {guard}
             THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{}'; END IF",
            Self::TEXT
        );
        let pool = s.own.pool_of(account).clone();
        execute(&pool, create).await;
        let drop = format!("DROP TRIGGER {name}");
        Self { pool, drop }
    }

    pub async fn lift(self) {
        execute(&self.pool, self.drop).await;
    }
}

async fn execute(pool: &MySqlPool, statement: String) {
    pool.execute(AssertSqlSafe(statement)).await.unwrap();
}
