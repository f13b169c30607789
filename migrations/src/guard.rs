//! The triggers that refuse to change or remove an entry of the audit trail.
//!
//! A server that writes a binary log lets only privileged users make triggers, unless it trusts them
//! (`log_bin_trust_function_creators`). So they are no migration, which would stop such a user halfway:
//! each run makes those that are missing, and says so where it may not.

use domain::StoreKind;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, Executor};

/// The user may not: no SUPER while a binary log is written, no TRIGGER on the table, no such
/// privilege at all.
const MAY_NOT: [u16; 3] = [1419, 1142, 1227];

const COUNT: &str = "SELECT COUNT(*) FROM information_schema.TRIGGERS
     WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = 'audit'
         AND TRIGGER_NAME IN ('audit_refuse_update', 'audit_refuse_delete')";

/// Whether the database itself keeps its audit trail from being changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditGuard {
    /// It refuses to change or remove an entry.
    Made,
    /// This user may not make the triggers: what the server said. Grant it no UPDATE and no DELETE on
    /// `audit` instead, or migrate as a user who may.
    NotAllowed(String),
    /// The store has no audit trail.
    NotNeeded,
}

/// Makes the triggers that are missing.
pub(crate) async fn ensure(
    conn: &mut MySqlConnection,
    store: StoreKind,
) -> Result<AuditGuard, sqlx::Error> {
    match store {
        StoreKind::Orders => return Ok(AuditGuard::NotNeeded),
        StoreKind::Accounts => {}
    }
    // Making one waits for everybody who uses the table, also where it is there already.
    let made: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *conn).await?;
    if made == 2 {
        return Ok(AuditGuard::Made);
    }
    for event in ["UPDATE", "DELETE"] {
        // No trigger can be made by a prepared statement.
        let made = conn.execute(AssertSqlSafe(trigger(event))).await;
        if let Err(error) = made {
            return match may_not(&error) {
                true => Ok(AuditGuard::NotAllowed(error.to_string())),
                false => Err(error),
            };
        }
    }
    Ok(AuditGuard::Made)
}

fn trigger(event: &str) -> String {
    let name = event.to_ascii_lowercase();
    format!(
        "CREATE TRIGGER IF NOT EXISTS audit_refuse_{name} BEFORE {event} ON audit FOR EACH ROW
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit trail is only ever added to'"
    )
}

fn may_not(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let number = error.and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    number.is_some_and(|error| MAY_NOT.contains(&error.number()))
}
