//! Where to go on with a global transaction that the log already knows: redelivered, taken over
//! from a dead coordinator, or lost to a quicker one.

use crate::state::{Event, Next, next};
use crate::{Begun, Outcome, Reason, State};

/// What a global transaction needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Round 2: try all branches, again or for the first time.
    Try,
    /// Round 3, without trying: cancel for this reason, its time ran out.
    Overdue(Reason),
    /// Round 4: confirm all branches.
    Confirm,
    /// Round 4: cancel all branches.
    Cancel {
        /// Why, as logged.
        reason: Option<Reason>,
    },
    /// Nothing: it ended.
    Nothing {
        /// How.
        outcome: Outcome,
        /// Why, when it was cancelled.
        reason: Option<Reason>,
    },
    /// Nothing: the record is not the one that was logged under its name.
    Refuse {
        /// What differs, for people.
        cause: String,
    },
}

/// The step that what the log says asks for.
pub fn plan(begun: &Begun) -> Step {
    match begun {
        Begun::Conflict(cause) => Step::Refuse {
            cause: cause.clone(),
        },
        Begun::Logged {
            state,
            reason,
            overdue,
        } => plan_logged(*state, *reason, *overdue),
    }
}

fn plan_logged(state: State, reason: Option<Reason>, overdue: Option<Reason>) -> Step {
    if let Some(late) = overdue
        && let Next::Decide(_cancel) = next(state, Event::Overdue(late))
    {
        return Step::Overdue(late);
    }
    match state {
        State::Trying => Step::Try,
        State::Confirming => Step::Confirm,
        State::Cancelling => Step::Cancel { reason },
        State::Confirmed => Step::Nothing {
            outcome: Outcome::Confirmed,
            reason: None,
        },
        State::Cancelled => Step::Nothing {
            outcome: Outcome::Cancelled,
            reason,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Reason = Reason(9);

    fn logged(state: State, overdue: Option<Reason>) -> Begun {
        Begun::Logged {
            state,
            reason: Some(Reason(1)),
            overdue,
        }
    }

    #[test]
    fn what_is_trying_is_tried_again() {
        assert_eq!(plan(&logged(State::Trying, None)), Step::Try);
    }

    #[test]
    fn what_is_overdue_is_cancelled_untried() {
        let step = plan(&logged(State::Trying, Some(LATE)));
        assert_eq!(step, Step::Overdue(LATE));
    }

    #[test]
    fn a_deadline_after_the_decision_changes_nothing() {
        assert_eq!(plan(&logged(State::Confirming, Some(LATE))), Step::Confirm);
        let cancel = Step::Cancel {
            reason: Some(Reason(1)),
        };
        assert_eq!(plan(&logged(State::Cancelling, Some(LATE))), cancel);
    }

    #[test]
    fn what_ended_needs_nothing() {
        let confirmed = Step::Nothing {
            outcome: Outcome::Confirmed,
            reason: None,
        };
        assert_eq!(plan(&logged(State::Confirmed, Some(LATE))), confirmed);
        let cancelled = Step::Nothing {
            outcome: Outcome::Cancelled,
            reason: Some(Reason(1)),
        };
        assert_eq!(plan(&logged(State::Cancelled, Some(LATE))), cancelled);
    }
}
