//! The schema of each store, embedded in the binary, and the runner that brings a database to it.
//!
//! Running twice, or two runners at once, is safe: the runner takes the database's advisory lock,
//! applies what is missing in order, and refuses a migration whose text has changed since. It then
//! writes the database's own name, or refuses if the database already carries another. Last it makes
//! the triggers that guard the audit trail, where its user may.

mod guard;

pub use guard::AuditGuard;

use domain::{ShardName, StoreKind};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::mysql::{MySqlConnection, MySqlPool};

static ORDERS: Migrator = sqlx::migrate!("./orders");
static ACCOUNTS: Migrator = sqlx::migrate!("./accounts");

// The migrator's own lock waits without end by a negative time-out, which MariaDB takes as none.
const LOCK: &str =
    "SELECT CAST(GET_LOCK(CONCAT('holdfast-schema-', CRC32(DATABASE())), ?) AS SIGNED)";
const UNLOCK: &str = "DO RELEASE_LOCK(CONCAT('holdfast-schema-', CRC32(DATABASE())))";
/// How long to wait for another runner.
const LOCK_WAIT_S: u32 = 120;

/// The name a database is to carry; its store says which schema it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIdentity {
    /// Which shard of which store.
    pub name: ShardName,
    /// The slot map's generation.
    pub slot_map_epoch: u32,
}

/// Why a database could not be brought to its schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The migrations themselves failed.
    #[error("cannot migrate {0:?}: {1}")]
    Migrate(ShardIdentity, #[source] MigrateError),
    /// The database could not be asked.
    #[error("cannot read or write the identity of {0:?}: {1}")]
    Sql(ShardIdentity, #[source] sqlx::Error),
    /// Another runner holds the database's advisory lock for too long.
    #[error("another runner has been at work on {0:?} for more than {LOCK_WAIT_S} s")]
    Busy(ShardIdentity),
    /// The database is another shard's.
    #[error("the database calls itself {found}, not {expected}")]
    WrongIdentity {
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
}

fn migrator(store: StoreKind) -> &'static Migrator {
    match store {
        StoreKind::Orders => &ORDERS,
        StoreKind::Accounts => &ACCOUNTS,
    }
}

/// Brings one database to its schema and writes its name; answers whether its audit trail is guarded.
pub async fn run(pool: &MySqlPool, identity: ShardIdentity) -> Result<AuditGuard, MigrationError> {
    let sql = |error| MigrationError::Sql(identity, error);
    let mut conn = pool.acquire().await.map_err(sql)?;
    let locked: Option<i64> = sqlx::query_scalar(LOCK)
        .bind(LOCK_WAIT_S)
        .fetch_one(&mut *conn)
        .await
        .map_err(sql)?;
    if locked != Some(1) {
        return Err(MigrationError::Busy(identity));
    }
    let outcome = run_locked(&mut conn, identity).await;
    // The session's end releases it too; whether this statement works does not matter.
    let _ = sqlx::query(UNLOCK).execute(&mut *conn).await;
    outcome
}

async fn run_locked(
    conn: &mut MySqlConnection,
    identity: ShardIdentity,
) -> Result<AuditGuard, MigrationError> {
    let migrated = migrator(identity.name.store)
        .run_direct(None, conn, false)
        .await;
    migrated.map_err(|error| MigrationError::Migrate(identity, error))?;
    let claimed = claim_identity(&mut *conn, identity).await;
    let found = claimed.map_err(|error| MigrationError::Sql(identity, error))?;
    let name = identity.name;
    let expected = describe(name.store.as_str(), name.index, identity.slot_map_epoch);
    if found != expected {
        return Err(MigrationError::WrongIdentity { found, expected });
    }
    tracing::info!(database = %expected, "The database is at its schema.");
    let guard = guard::ensure(conn, name.store).await;
    guard.map_err(|error| MigrationError::Sql(identity, error))
}

async fn claim_identity(
    conn: &mut MySqlConnection,
    identity: ShardIdentity,
) -> Result<String, sqlx::Error> {
    // The no-op update makes two runners at once agree on whoever wrote first.
    sqlx::query(
        "INSERT INTO shard_identity (singleton, store, shard, slot_map_epoch) VALUES (1, ?, ?, ?)
         ON DUPLICATE KEY UPDATE singleton = singleton",
    )
    .bind(identity.name.store.as_str())
    .bind(identity.name.index)
    .bind(identity.slot_map_epoch)
    .execute(&mut *conn)
    .await?;
    let (store, shard, epoch): (String, u16, u32) =
        sqlx::query_as("SELECT store, shard, slot_map_epoch FROM shard_identity")
            .fetch_one(conn)
            .await?;
    Ok(describe(&store, shard, epoch))
}

fn describe(store: &str, shard: u16, epoch: u32) -> String {
    format!("{store}-{shard} of slot map epoch {epoch}")
}
