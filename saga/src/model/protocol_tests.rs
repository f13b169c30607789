//! The protocol holds in every state; each of its safeguards, taken away, is missed.

use super::defect::Defect;
use super::properties::{
    ALL_OR_NOTHING, AS_DECIDED, CANCEL_LASTS, DECIDED_ONCE, ENDED_WHOLE, MONEY, NO_ALARM, RECOVERS,
    TRUE_ANSWERS,
};
use super::protocol::Protocol;
use super::rows::Leg;
use super::{explore, shortest_counterexample};

fn purchase(defect: Option<Defect>) -> Protocol {
    Protocol {
        legs: vec![Leg::Debit(1), Leg::Credit(1)],
        funds_move: true,
        payees_close: false,
        faults_spread: false,
        defect,
    }
}

/// In a purchase with this defect, the property does not hold.
fn is_caught(defect: Defect, property: &'static str) {
    let found = shortest_counterexample(&purchase(Some(defect)), property);
    assert!(found.is_some(), "{defect:?} is not caught");
}

#[test]
fn a_payer_and_a_payee_are_right_in_every_state() {
    let states = explore(purchase(None));
    assert!(states > 40_000, "{states}");
}

#[test]
fn a_payer_and_two_payees_are_right_in_every_state() {
    let states = explore(Protocol {
        legs: vec![Leg::Debit(2), Leg::Credit(1), Leg::Credit(1)],
        funds_move: false,
        faults_spread: true,
        ..purchase(None)
    });
    assert!(states > 45_000, "{states}");
}

#[test]
fn two_payers_and_a_payee_are_right_in_every_state() {
    let states = explore(Protocol {
        legs: vec![Leg::Debit(1), Leg::Debit(1), Leg::Credit(2)],
        funds_move: false,
        faults_spread: true,
        ..purchase(None)
    });
    assert!(states > 180_000, "{states}");
}

/// A credit has no fence: its try may refuse what an earlier one reserved. The first decision stands.
#[test]
fn a_payee_that_closes_at_any_time_changes_no_decision() {
    let states = explore(Protocol {
        payees_close: true,
        funds_move: false,
        ..purchase(None)
    });
    assert!(states > 40_000, "{states}");
}

#[test]
fn no_tombstone_is_caught() {
    is_caught(Defect::NoTombstone, CANCEL_LASTS);
    is_caught(Defect::NoTombstone, ENDED_WHOLE);
}

#[test]
fn an_old_hold_taken_for_new_is_caught() {
    is_caught(Defect::OldHoldTakenForNew, MONEY);
}

#[test]
fn a_skipped_try_told_as_success_is_caught() {
    is_caught(Defect::SkippedTryIsSuccess, TRUE_ANSWERS);
}

#[test]
fn a_refusal_that_is_confirmed_is_caught() {
    is_caught(Defect::RefusedCanBeConfirmed, MONEY);
}

#[test]
fn a_refusal_taken_for_success_is_caught() {
    is_caught(Defect::RefusalIsSuccess, NO_ALARM);
}

#[test]
fn a_confirm_that_books_twice_is_caught() {
    is_caught(Defect::ConfirmBooksAgain, MONEY);
}

#[test]
fn fences_that_are_forgotten_are_caught() {
    is_caught(Defect::FencesForgotten, CANCEL_LASTS);
}

#[test]
fn a_decision_without_compare_and_set_is_caught() {
    is_caught(Defect::NoCompareAndSet, DECIDED_ONCE);
    is_caught(Defect::NoCompareAndSet, AS_DECIDED);
}

#[test]
fn a_loser_that_goes_its_own_way_is_caught() {
    is_caught(Defect::LoserKeepsItsVerdict, ALL_OR_NOTHING);
}

#[test]
fn a_confirm_before_the_decision_is_caught() {
    is_caught(Defect::ConfirmBeforeDecision, AS_DECIDED);
}

#[test]
fn an_unheard_try_taken_for_success_is_caught() {
    is_caught(Defect::UnheardTryIsSuccess, NO_ALARM);
}

#[test]
fn an_end_while_a_confirm_is_pending_is_caught() {
    is_caught(Defect::EndWhilePending, ENDED_WHOLE);
}

#[test]
fn a_deadline_by_a_workers_own_clock_is_caught() {
    is_caught(Defect::OwnClockCancels, AS_DECIDED);
}

#[test]
fn a_parked_record_whose_offset_is_committed_is_caught() {
    is_caught(Defect::ParkedIsCommitted, RECOVERS);
}

#[test]
fn an_undecided_row_that_is_not_swept_is_caught() {
    is_caught(Defect::UndecidedNotSwept, RECOVERS);
}

#[test]
fn a_decided_row_that_is_not_swept_is_caught() {
    is_caught(Defect::DecidedNotSwept, RECOVERS);
}
