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
    /// It could not be logged: the record is the only proof of it. Run it again later, and later
    /// records of the same xid after it.
    Parked {
        /// Why, for people.
        cause: String,
        /// Whether its log shard does not serve; else it does, and this record alone is held up.
        shard_away: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_the_name_that_dashboards_know() {
        let done = |outcome| Answer::Done {
            outcome,
            reason: None,
        };
        let cause = String::new;
        let answers = [
            done(Outcome::Confirmed),
            done(Outcome::Cancelled),
            Answer::Waiting { cause: cause() },
            Answer::Parked {
                cause: cause(),
                shard_away: true,
            },
            Answer::Dead { cause: cause() },
        ];
        let names = answers.each_ref().map(Answer::name);
        assert_eq!(
            names,
            ["confirmed", "cancelled", "waiting", "parked", "dead"]
        );
    }
}
