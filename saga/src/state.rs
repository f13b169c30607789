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
