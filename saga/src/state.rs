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
        // A second worker's try, or a deadline that came second.
        (State::Confirming, Event::Reserved | Event::Overdue(_)) => Next::Keep,
        // All tries reserved, or it would not be confirming; a try says the same each time.
        (State::Confirming, Event::Refused(_)) => Next::Breach,
        (State::Confirming, Event::BranchesCancelled) => Next::Breach,

        (State::Cancelling, Event::BranchesCancelled) => Next::End(Outcome::Cancelled),
        // Reserved as well is legal: the deadline came first.
        (State::Cancelling, Event::Reserved | Event::Refused(_) | Event::Overdue(_)) => Next::Keep,
        (State::Cancelling, Event::BranchesConfirmed) => Next::Breach,

        (State::Confirmed, Event::Reserved | Event::Overdue(_) | Event::BranchesConfirmed) => {
            Next::Keep
        }
        (State::Confirmed, Event::Refused(_) | Event::BranchesCancelled) => Next::Breach,

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
