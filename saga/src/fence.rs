//! What a branch's fence says to a try, a confirm and a cancel: the rules that make them
//! repeatable and safe in any order, apart from where the fence is kept.

use crate::{FinishOutcome, Reason, TryOutcome};

/// Where a branch stands. No fence at all means that nothing came for the branch yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fence {
    /// Tried: reserved.
    Reserved,
    /// Tried: refused for this reason.
    Refused(Reason),
    /// Reserved, then confirmed.
    Confirmed,
    /// Reserved, then cancelled.
    Cancelled,
    /// The tombstone: a cancel was here before any try.
    CancelledBeforeTry,
}

/// What a try has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnTry {
    /// Reserve, or refuse, and set the fence accordingly.
    Reserve,
    /// Answer this and touch nothing.
    Answer(TryOutcome),
}

/// What a confirm has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnConfirm {
    /// Make final what was reserved, and set the fence to confirmed.
    Settle,
    /// Answer this and touch nothing.
    Answer(FinishOutcome),
}

/// What a cancel has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCancel {
    /// Release what was reserved, and set the fence to cancelled.
    Release,
    /// Insert the tombstone.
    Bury,
    /// Answer this and touch nothing.
    Answer(FinishOutcome),
}

/// A repeated try answers what the first one answered, as long as that is still true.
pub fn on_try(fence: Option<Fence>) -> OnTry {
    match fence {
        None => OnTry::Reserve,
        Some(Fence::Reserved | Fence::Confirmed) => OnTry::Answer(TryOutcome::Reserved),
        Some(Fence::Refused(reason)) => OnTry::Answer(TryOutcome::Refused(reason)),
        // Also after a reservation that a cancel has since released: a confirm would not succeed.
        Some(Fence::Cancelled | Fence::CancelledBeforeTry) => {
            OnTry::Answer(TryOutcome::CancelledBefore)
        }
    }
}

/// Only what is reserved can be confirmed.
pub fn on_confirm(fence: Option<Fence>) -> OnConfirm {
    let breach = |what: &str| OnConfirm::Answer(FinishOutcome::Breach(what.to_owned()));
    match fence {
        Some(Fence::Reserved) => OnConfirm::Settle,
        Some(Fence::Confirmed) => OnConfirm::Answer(FinishOutcome::Done),
        None => breach("confirm of a branch that was never tried"),
        Some(Fence::Refused(_)) => breach("confirm of a branch that was refused"),
        Some(Fence::Cancelled) => breach("confirm of a branch that was cancelled"),
        Some(Fence::CancelledBeforeTry) => breach("confirm of a branch cancelled before its try"),
    }
}

/// Anything but what is confirmed can be cancelled, also what never was.
pub fn on_cancel(fence: Option<Fence>) -> OnCancel {
    match fence {
        None => OnCancel::Bury,
        Some(Fence::Reserved) => OnCancel::Release,
        Some(Fence::Refused(_) | Fence::Cancelled | Fence::CancelledBeforeTry) => {
            OnCancel::Answer(FinishOutcome::Done)
        }
        Some(Fence::Confirmed) => OnCancel::Answer(FinishOutcome::Breach(
            "cancel of a branch that was confirmed".to_owned(),
        )),
    }
}
