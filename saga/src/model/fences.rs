//! One fenced branch whose try, confirm and cancel come from anybody, in any order and any number
//! of times, while its payer's money comes and goes. No log keeps a confirm and a cancel apart
//! here: the fence alone must.

use super::defect::Defect;
use super::rows::{BranchRows, Leg};
use crate::fence::Fence;
use crate::{FinishOutcome, TryOutcome};
use stateright::{Model, Property};

const AMOUNT: i8 = 2;
const LEG: Leg = Leg::Debit(AMOUNT);

const MONEY: &str = "balance and held are what the fence says";
const FIRST_STANDS: &str = "what was refused, confirmed or cancelled stays so";
const TRUE_ANSWERS: &str = "what is answered is true";

/// What is explored.
#[derive(Debug, Clone)]
struct OneFence {
    defect: Option<Defect>,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FenceWorld {
    rows: BranchRows,
    /// Spent elsewhere.
    spent: bool,
    /// What a try, a confirm or a cancel first answered for good.
    first: Option<Fate>,
    is_untrue: bool,
}

/// What became of the branch, by the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Refused,
    Confirmed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    Try,
    Confirm,
    Cancel,
    Spend,
    Refund,
}

impl Model for OneFence {
    type State = FenceWorld;
    type Action = Comes;

    fn init_states(&self) -> Vec<FenceWorld> {
        let start = FenceWorld {
            rows: BranchRows::of(LEG),
            spent: false,
            first: None,
            is_untrue: false,
        };
        vec![start]
    }

    fn actions(&self, world: &FenceWorld, actions: &mut Vec<Comes>) {
        actions.extend([Comes::Try, Comes::Confirm, Comes::Cancel]);
        if world.spent {
            actions.push(Comes::Refund);
        } else if world.rows.available() >= AMOUNT {
            actions.push(Comes::Spend);
        }
    }

    fn next_state(&self, last: &FenceWorld, action: Comes) -> Option<FenceWorld> {
        let mut world = last.clone();
        match action {
            Comes::Try => world.try_reserve(self.defect),
            Comes::Confirm => world.confirm(self.defect),
            Comes::Cancel => world.cancel(self.defect),
            Comes::Spend => {
                world.rows.balance -= AMOUNT;
                world.spent = true;
            }
            Comes::Refund => {
                world.rows.balance += AMOUNT;
                world.spent = false;
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(MONEY, |_, world: &FenceWorld| {
                let spent = if world.spent { AMOUNT } else { 0 };
                world.rows.agree(LEG, AMOUNT - spent) && world.rows.available() >= 0
            }),
            Property::always(FIRST_STANDS, |_, world: &FenceWorld| world.fate_stands()),
            Property::always(TRUE_ANSWERS, |_, world: &FenceWorld| !world.is_untrue),
            Property::sometimes("refused", |_, world: &FenceWorld| {
                world.first == Some(Fate::Refused)
            }),
            Property::sometimes("confirmed", |_, world: &FenceWorld| {
                world.first == Some(Fate::Confirmed)
            }),
            Property::sometimes("buried", |_, world: &FenceWorld| {
                world.rows.fence == Some(Fence::CancelledBeforeTry)
            }),
        ]
    }
}

impl FenceWorld {
    fn try_reserve(&mut self, defect: Option<Defect>) {
        let answer = self.rows.try_reserve(LEG, defect);
        let stands = matches!(self.rows.fence, Some(Fence::Reserved | Fence::Confirmed));
        self.is_untrue |= stands != (answer == TryOutcome::Reserved);
        if matches!(answer, TryOutcome::Refused(_)) {
            self.first.get_or_insert(Fate::Refused);
        }
    }

    fn confirm(&mut self, defect: Option<Defect>) {
        let untried = self.rows.fence.is_none();
        let done = self.rows.confirm(LEG, defect) == FinishOutcome::Done;
        self.is_untrue |= done && untried;
        self.is_untrue |= done != (self.rows.fence == Some(Fence::Confirmed));
        if done {
            self.first.get_or_insert(Fate::Confirmed);
        }
    }

    fn cancel(&mut self, defect: Option<Defect>) {
        let done = self.rows.cancel(LEG, defect) == FinishOutcome::Done;
        self.is_untrue |= done == (self.rows.fence == Some(Fence::Confirmed));
        if done {
            self.first.get_or_insert(Fate::Cancelled);
        }
    }

    fn fate_stands(&self) -> bool {
        match (self.first, self.rows.fence) {
            (None, _) => true,
            (Some(Fate::Refused), Some(Fence::Refused(_))) => true,
            (Some(Fate::Confirmed), Some(Fence::Confirmed)) => true,
            (Some(Fate::Cancelled), Some(Fence::Cancelled | Fence::CancelledBeforeTry)) => true,
            (Some(_), _) => false,
        }
    }
}

mod tests {
    use super::super::{explore, shortest_counterexample};
    use super::*;

    /// How many steps it takes to break the property.
    fn steps_to_break(defect: Defect, property: &'static str) -> Option<usize> {
        let model = OneFence {
            defect: Some(defect),
        };
        Some(shortest_counterexample(&model, property)?.len())
    }

    #[test]
    fn a_fence_keeps_any_order_right() {
        assert_eq!(explore(OneFence { defect: None }), 10);
    }

    #[test]
    fn a_cancel_without_a_tombstone_is_caught() {
        assert_eq!(steps_to_break(Defect::NoTombstone, FIRST_STANDS), Some(1));
    }

    #[test]
    fn an_old_hold_taken_for_new_is_caught() {
        assert_eq!(steps_to_break(Defect::OldHoldTakenForNew, MONEY), Some(2));
    }

    #[test]
    fn a_skipped_try_told_as_success_is_caught() {
        let steps = steps_to_break(Defect::SkippedTryIsSuccess, TRUE_ANSWERS);
        assert_eq!(steps, Some(2));
    }

    #[test]
    fn a_confirm_of_a_refusal_is_caught() {
        let steps = steps_to_break(Defect::RefusedCanBeConfirmed, FIRST_STANDS);
        assert_eq!(steps, Some(3));
    }

    #[test]
    fn a_cancel_of_what_was_confirmed_is_caught() {
        let steps = steps_to_break(Defect::ConfirmedCanBeCancelled, FIRST_STANDS);
        assert_eq!(steps, Some(3));
    }

    #[test]
    fn a_confirm_without_a_try_is_caught() {
        assert_eq!(
            steps_to_break(Defect::UntriedCanBeConfirmed, MONEY),
            Some(1)
        );
    }

    #[test]
    fn a_confirm_that_books_twice_is_caught() {
        assert_eq!(steps_to_break(Defect::ConfirmBooksAgain, MONEY), Some(3));
    }
}
