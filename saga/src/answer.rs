//! What became of a record in one run.

use crate::{Outcome, Reason};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its global transaction ended, now or before.
    Done {
        /// How.
        outcome: Outcome,
        /// Why, when it was cancelled. Where two workers cancelled it at once for two reasons, it
        /// may be the one that the log does not have.
        reason: Option<Reason>,
    },
    /// It is logged, and so the sweeper owns it: the record is no longer needed.
    Waiting {
        /// What it waits for, for people.
        cause: String,
    },
    /// Its log shard cannot be reached: the record is the only proof of it. Run it again later, and
    /// later records of the same xid after it.
    Parked {
        /// Why, for people.
        cause: String,
    },
    /// It can never be run as it is; nothing of it was logged.
    Dead {
        /// Why, for people.
        cause: String,
    },
}

impl Answer {
    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done {
                outcome: Outcome::Confirmed,
                ..
            } => "confirmed",
            Self::Done {
                outcome: Outcome::Cancelled,
                ..
            } => "cancelled",
            Self::Waiting { .. } => "waiting",
            Self::Parked { .. } => "parked",
            Self::Dead { .. } => "dead",
        }
    }
}
