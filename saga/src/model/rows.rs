//! What the servers hold, and what one SQL transaction does to it: for a debit, what the live fence
//! says; for a credit, which only its confirm writes, what its entry says.

use super::defect::Defect;
use crate::fence::{Fence, OnCancel, OnConfirm, OnTry, on_cancel, on_confirm, on_try};
use crate::{FinishOutcome, Reason, TryOutcome};

/// The payer is short of funds.
pub(super) const SHORT: Reason = Reason(1);
/// The time to decide ran out.
pub(super) const LATE: Reason = Reason(2);
/// The payee's account is closed.
pub(super) const CLOSED: Reason = Reason(3);

/// What a branch does to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// Holds so much at the try, takes it at the confirm.
    Debit(i8),
    /// Brings so much at the confirm.
    Credit(i8),
}

/// The rows of one branch and of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BranchRows {
    /// A debit's.
    pub fence: Option<Fence>,
    /// How often it was booked.
    pub entries: u8,
    pub balance: i8,
    pub held: i8,
    pub is_open: bool,
}

impl BranchRows {
    pub(super) fn of(leg: Leg) -> Self {
        let balance = match leg {
            Leg::Debit(amount) => amount,
            Leg::Credit(_) => 0,
        };
        Self {
            fence: None,
            entries: 0,
            balance,
            held: 0,
            is_open: true,
        }
    }

    pub(super) fn available(&self) -> i8 {
        self.balance - self.held
    }

    /// Whether a confirm of it was carried out.
    pub(super) fn is_confirmed(&self) -> bool {
        self.entries > 0 || self.fence == Some(Fence::Confirmed)
    }

    /// Whether a cancel of it was carried out.
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(
            self.fence,
            Some(Fence::Cancelled | Fence::CancelledBeforeTry)
        )
    }

    /// Whether balance and held are what the fence and the entry say of an account that had
    /// `balance` and nothing held.
    pub(super) fn agree(&self, leg: Leg, balance: i8) -> bool {
        let (delta, held) = match leg {
            Leg::Debit(amount) => match self.fence {
                Some(Fence::Reserved) => (0, amount),
                Some(Fence::Confirmed) => (-amount, 0),
                Some(Fence::Refused(_) | Fence::Cancelled | Fence::CancelledBeforeTry) | None => {
                    (0, 0)
                }
            },
            Leg::Credit(amount) if self.entries > 0 => (amount, 0),
            Leg::Credit(_) => (0, 0),
        };
        self.entries <= 1 && self.balance == balance + delta && self.held == held
    }

    pub(super) fn try_reserve(&mut self, leg: Leg, defect: Option<Defect>) -> TryOutcome {
        let amount = match leg {
            Leg::Debit(amount) => amount,
            Leg::Credit(_) if self.is_open || self.entries > 0 => return TryOutcome::Reserved,
            Leg::Credit(_) => return TryOutcome::Refused(CLOSED),
        };
        let seen = match (defect, self.fence) {
            (Some(Defect::OldHoldTakenForNew), Some(Fence::Reserved)) => None,
            (_, fence) => fence,
        };
        match (defect, on_try(seen)) {
            (_, OnTry::Reserve) if self.available() >= amount => {
                self.held += amount;
                self.fence = Some(Fence::Reserved);
                TryOutcome::Reserved
            }
            (_, OnTry::Reserve) => {
                self.fence = Some(Fence::Refused(SHORT));
                TryOutcome::Refused(SHORT)
            }
            (Some(Defect::SkippedTryIsSuccess), OnTry::Answer(TryOutcome::CancelledBefore)) => {
                TryOutcome::Reserved
            }
            (_, OnTry::Answer(outcome)) => outcome,
        }
    }

    pub(super) fn confirm(&mut self, leg: Leg, defect: Option<Defect>) -> FinishOutcome {
        let amount = match leg {
            Leg::Debit(amount) => amount,
            Leg::Credit(_) if self.entries > 0 && !self.books_again(defect) => {
                return FinishOutcome::Done;
            }
            Leg::Credit(amount) => {
                self.book(amount);
                return FinishOutcome::Done;
            }
        };
        let seen = match (defect, self.fence) {
            (Some(Defect::RefusedCanBeConfirmed), Some(Fence::Refused(_)))
            | (Some(Defect::UntriedCanBeConfirmed), None) => Some(Fence::Reserved),
            (_, Some(Fence::Confirmed)) if self.books_again(defect) => Some(Fence::Reserved),
            (_, fence) => fence,
        };
        match on_confirm(seen) {
            OnConfirm::Settle => {
                self.held -= amount;
                self.fence = Some(Fence::Confirmed);
                self.book(-amount);
                FinishOutcome::Done
            }
            OnConfirm::Answer(outcome) => outcome,
        }
    }

    pub(super) fn cancel(&mut self, leg: Leg, defect: Option<Defect>) -> FinishOutcome {
        let amount = match leg {
            Leg::Debit(amount) => amount,
            Leg::Credit(_) if self.entries > 0 => {
                return FinishOutcome::Breach("cancel of a credit that was booked".to_owned());
            }
            Leg::Credit(_) => return FinishOutcome::Done,
        };
        let seen = match (defect, self.fence) {
            (Some(Defect::ConfirmedCanBeCancelled), Some(Fence::Confirmed)) => {
                Some(Fence::Reserved)
            }
            (_, fence) => fence,
        };
        match on_cancel(seen) {
            OnCancel::Release => {
                self.held -= amount;
                self.fence = Some(Fence::Cancelled);
                FinishOutcome::Done
            }
            OnCancel::Bury if defect == Some(Defect::NoTombstone) => FinishOutcome::Done,
            OnCancel::Bury => {
                self.fence = Some(Fence::CancelledBeforeTry);
                FinishOutcome::Done
            }
            OnCancel::Answer(outcome) => outcome,
        }
    }

    /// Once more is enough to be wrong.
    fn books_again(&self, defect: Option<Defect>) -> bool {
        defect == Some(Defect::ConfirmBooksAgain) && self.entries == 1
    }

    fn book(&mut self, delta: i8) {
        self.entries += 1;
        self.balance += delta;
    }
}
