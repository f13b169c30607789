//! The states of a global transaction.

use std::fmt;

/// Names a global transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xid(pub [u8; 16]);

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The application's own code for why a try was refused; the engine only carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u16);

/// Where a global transaction stands in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Logged; its branches are being tried.
    Trying,
    /// Decided: every branch will be confirmed.
    Confirming,
    /// Decided: every branch will be cancelled.
    Cancelling,
    /// Ended: every branch is confirmed.
    Confirmed,
    /// Ended: every branch is cancelled.
    Cancelled,
}

/// The decision, made once: the point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All tries reserved.
    Confirm,
    /// A try was refused, or time ran out.
    Cancel(Reason),
}

/// How a global transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every branch is confirmed.
    Confirmed,
    /// Every branch is cancelled.
    Cancelled,
}

/// What was learnt about the branches of a global transaction, or about its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Every branch's try reserved.
    Reserved,
    /// A branch's try was refused.
    Refused(Reason),
    /// Its time to be decided ran out.
    Overdue(Reason),
    /// Every branch is confirmed.
    BranchesConfirmed,
    /// Every branch is cancelled.
    BranchesCancelled,
}

/// What follows from an event in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Log this verdict by compare-and-set from [`State::Trying`].
    Decide(Verdict),
    /// Log this end by compare-and-set from the decided state.
    End(Outcome),
    /// Nothing: the state already answers the event, or another worker was quicker.
    Keep,
    /// The two cannot both be true. The state stands; somebody is told.
    Breach,
}

/// The protocol: what an event means in a state, live and in recovery alike.
pub fn next(state: State, event: Event) -> Next {
    match (state, event) {
        (State::Trying, Event::Reserved) => Next::Decide(Verdict::Confirm),
        (State::Trying, Event::Refused(reason) | Event::Overdue(reason)) => {
            Next::Decide(Verdict::Cancel(reason))
        }
        // Branches are finished only after a decision.
        (State::Trying, Event::BranchesConfirmed | Event::BranchesCancelled) => Next::Breach,

        (State::Confirming, Event::BranchesConfirmed) => Next::End(Outcome::Confirmed),
        // A second worker's try, or a deadline that came second. Also a refusal: all tries reserved,
        // or it would not be confirming, but a branch that only its confirm writes may be refused
        // later. Whether a branch can be confirmed is its fence's to say.
        (State::Confirming, Event::Reserved | Event::Refused(_) | Event::Overdue(_)) => Next::Keep,
        (State::Confirming, Event::BranchesCancelled) => Next::Breach,

        (State::Cancelling, Event::BranchesCancelled) => Next::End(Outcome::Cancelled),
        // Reserved as well is legal: the deadline came first.
        (State::Cancelling, Event::Reserved | Event::Refused(_) | Event::Overdue(_)) => Next::Keep,
        (State::Cancelling, Event::BranchesConfirmed) => Next::Breach,

        (
            State::Confirmed,
            Event::Reserved | Event::Refused(_) | Event::Overdue(_) | Event::BranchesConfirmed,
        ) => Next::Keep,
        (State::Confirmed, Event::BranchesCancelled) => Next::Breach,

        (
            State::Cancelled,
            Event::Reserved | Event::Refused(_) | Event::Overdue(_) | Event::BranchesCancelled,
        ) => Next::Keep,
        (State::Cancelled, Event::BranchesConfirmed) => Next::Breach,
    }
}

impl Verdict {
    /// The state that logging it leads to.
    pub fn state(self) -> State {
        match self {
            Self::Confirm => State::Confirming,
            Self::Cancel(_) => State::Cancelling,
        }
    }

    /// Why, when it cancels.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Confirm => None,
            Self::Cancel(reason) => Some(reason),
        }
    }
}

impl Outcome {
    /// The state that logging it leads to.
    pub fn state(self) -> State {
        match self {
            Self::Confirmed => State::Confirmed,
            Self::Cancelled => State::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATES: [State; 5] = [
        State::Trying,
        State::Confirming,
        State::Cancelling,
        State::Confirmed,
        State::Cancelled,
    ];

    #[test]
    fn an_xid_is_shown_as_hexadecimal_digits() {
        let mut bytes = [0; 16];
        bytes[15] = 0xab;
        let shown = "000000000000000000000000000000ab";
        assert_eq!(Xid(bytes).to_string(), shown);
        assert_eq!(format!("{:?}", Xid(bytes)), shown);
    }

    fn any_state() -> impl Strategy<Value = State> {
        prop::sample::select(STATES.to_vec())
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Reserved),
            any::<u16>().prop_map(|code| Event::Refused(Reason(code))),
            any::<u16>().prop_map(|code| Event::Overdue(Reason(code))),
            Just(Event::BranchesConfirmed),
            Just(Event::BranchesCancelled),
        ]
    }

    /// The state after the log has done what follows.
    fn after(state: State, event: Event) -> State {
        match next(state, event) {
            Next::Decide(verdict) => verdict.state(),
            Next::End(outcome) => outcome.state(),
            Next::Keep | Next::Breach => state,
        }
    }

    proptest! {
        #[test]
        fn a_decision_is_made_only_while_trying(state in any_state(), event in any_event()) {
            let decides = matches!(next(state, event), Next::Decide(_));
            prop_assert!(!decides || state == State::Trying);
        }

        #[test]
        fn an_end_agrees_with_its_decision(state in any_state(), event in any_event()) {
            match next(state, event) {
                Next::End(Outcome::Confirmed) => prop_assert_eq!(state, State::Confirming),
                Next::End(Outcome::Cancelled) => prop_assert_eq!(state, State::Cancelling),
                Next::Decide(_) | Next::Keep | Next::Breach => {}
            }
        }

        #[test]
        fn nothing_reverses_a_decision(
            first in any_state(),
            events in prop::collection::vec(any_event(), 0..20),
        ) {
            let confirms = |state| matches!(state, State::Confirming | State::Confirmed);
            let last = events.into_iter().fold(first, after);
            if first != State::Trying {
                prop_assert_eq!(confirms(first), confirms(last));
            }
        }

        #[test]
        fn an_event_that_comes_twice_does_no_more(state in any_state(), event in any_event()) {
            let once = after(state, event);
            prop_assert_eq!(after(once, event), once);
        }
    }

    #[test]
    fn a_refusal_cancels_for_its_reason() {
        let verdict = Verdict::Cancel(Reason(4));
        assert_eq!(
            next(State::Trying, Event::Refused(Reason(4))),
            Next::Decide(verdict)
        );
    }

    #[test]
    fn branches_finished_before_a_decision_are_a_breach() {
        assert_eq!(next(State::Trying, Event::BranchesConfirmed), Next::Breach);
        assert_eq!(next(State::Trying, Event::BranchesCancelled), Next::Breach);
    }

    #[test]
    fn branches_finished_against_the_decision_are_a_breach() {
        assert_eq!(
            next(State::Confirming, Event::BranchesCancelled),
            Next::Breach
        );
        assert_eq!(
            next(State::Cancelling, Event::BranchesConfirmed),
            Next::Breach
        );
    }

    #[test]
    fn a_refusal_that_comes_second_changes_nothing() {
        for state in [
            State::Confirming,
            State::Cancelling,
            State::Confirmed,
            State::Cancelled,
        ] {
            assert_eq!(next(state, Event::Refused(Reason(1))), Next::Keep);
        }
    }
}
