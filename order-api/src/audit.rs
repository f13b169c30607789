//! What leaves as a file is written down before it does.
//!
//! Opening, closing and funding an account write their own entry, in their own SQL transaction.

use crate::auth::Caller;
use crate::problem::{Problem, ProblemKind};
use crate::state::App;
use store::StoreError;
use store::audit::Deed;

/// When the trail may be writable again.
const RETRY_AFTER_S: u64 = 2;

/// Writes down what the caller is about to get; a problem where that is not possible, and then he must
/// not get it.
pub(crate) async fn write_down(app: &App, caller: &Caller, deed: &Deed<'_>) -> Result<(), Problem> {
    let written = app.stores.audit.note(&caller.author(), deed).await;
    written.map_err(|error| unwritable(&error))
}

fn unwritable(error: &StoreError) -> Problem {
    let detail = "an export is written to the audit trail first, which cannot be done now";
    match error {
        StoreError::Transient { .. } => {
            tracing::warn!(%error, "The audit trail cannot be written; an export is refused.");
        }
        StoreError::Definite { .. }
        | StoreError::WrongDatabase { .. }
        | StoreError::Settings(_) => {
            tracing::error!(%error, "The audit trail refuses an entry; an export is refused.");
        }
    }
    Problem::new(ProblemKind::AuditUnavailable, detail).retry_after_s(RETRY_AFTER_S)
}
