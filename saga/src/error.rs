//! What a failed statement means for the batch that ran it.

/// A failed SQL transaction, split by consequence.
#[derive(Debug, thiserror::Error)]
pub enum SqlFault {
    /// Running the same batch again helps: deadlock, lock time-out, lost connection (also at
    /// COMMIT: the fences know what was done), a server that is down, read-only or full.
    #[error("transient: {0}")]
    Transient(#[source] sqlx::Error),
    /// Running it again will not help: the statement itself is refused.
    #[error("definite: {0}")]
    Definite(#[source] sqlx::Error),
}
