//! What can go wrong between a service and its stores, split by consequence.

use domain::ShardName;
use saga::SqlFault;

/// A store operation that did not happen, or whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Asking again helps: the database is down, unreachable, busy or lost a deadlock.
    #[error("{shard} cannot answer now: {source}")]
    Transient {
        /// Which database.
        shard: ShardName,
        /// What it or the network said.
        source: sqlx::Error,
    },
    /// Asking again will not help.
    #[error("{shard} refused a statement: {source}")]
    Definite {
        /// Which database.
        shard: ShardName,
        /// What it said.
        source: sqlx::Error,
    },
    /// The database at this address is another one.
    #[error("the database at the address of {expected} calls itself {found}")]
    WrongDatabase {
        /// The name and epoch it should carry.
        expected: String,
        /// The name and epoch it carries.
        found: String,
    },
    /// The settings cannot be used.
    #[error("the settings of the stores: {0}")]
    Settings(String),
}

impl StoreError {
    /// Sorts a failed statement by its consequence.
    pub(crate) fn of(shard: ShardName, source: sqlx::Error) -> Self {
        Self::of_fault(shard, SqlFault::from(source))
    }

    /// Names the shard of a fault that nobody here can get past.
    pub(crate) fn of_fault(shard: ShardName, fault: SqlFault) -> Self {
        match fault {
            SqlFault::Transient(source) => Self::Transient { shard, source },
            SqlFault::Duplicate(source) | SqlFault::Definite(source) => {
                Self::Definite { shard, source }
            }
            SqlFault::Partial { .. } => {
                let source = sqlx::Error::Protocol(fault.to_string());
                Self::Definite { shard, source }
            }
        }
    }
}
