//! How what is heard of the branches moves a global transaction.

use super::*;
use crate::Verdict;

const NO: Reason = Reason(3);
const LATE: Reason = Reason(9);

fn flight(stage: Stage) -> Flight<()> {
    let xid = Xid([7; 16]);
    Flight {
        xid,
        home: ShardId(0),
        branches: Vec::new(),
        attempts: 0,
        stage,
        alarm: None,
    }
}

fn tried(tries: &[Result<TryOutcome, SetFault>]) -> Flight<()> {
    let mut flight = flight(Stage::Try);
    flight.on_tried(tries);
    flight
}

fn logged(state: State, reason: Option<Reason>) -> Begun {
    Begun::Logged {
        state,
        reason,
        overdue: None,
    }
}

fn waits(flight: &Flight<()>) -> bool {
    matches!(flight.stage, Stage::Over(Answer::Waiting { .. }))
}

fn unheard() -> Result<TryOutcome, SetFault> {
    Err(SetFault::Transient("away".to_owned()))
}

#[test]
fn only_when_all_reserved_it_is_decided_to_confirm() {
    let all = tried(&[Ok(TryOutcome::Reserved), Ok(TryOutcome::Reserved)]);
    assert_eq!(
        all.decision().map(|decision| decision.verdict),
        Some(Verdict::Confirm)
    );
    let one_unheard = tried(&[Ok(TryOutcome::Reserved), unheard()]);
    assert!(waits(&one_unheard) && one_unheard.decision().is_none());
}

#[test]
fn a_refusal_decides_whatever_else_was_not_heard() {
    let refused = tried(&[unheard(), Ok(TryOutcome::Refused(NO))]);
    assert_eq!(
        refused.decision().map(|decision| decision.verdict),
        Some(Verdict::Cancel(NO))
    );
}

#[test]
fn the_first_of_two_refusals_gives_the_reason() {
    let refused = tried(&[Ok(TryOutcome::Refused(NO)), Ok(TryOutcome::Refused(LATE))]);
    assert_eq!(refused.stage, Stage::Decide(Event::Refused(NO)));
}

#[test]
fn a_skipped_try_is_not_a_success() {
    let skipped = tried(&[Ok(TryOutcome::Reserved), Ok(TryOutcome::CancelledBefore)]);
    assert_eq!(skipped.stage, Stage::Reread);
    assert!(skipped.decision().is_none());
}

#[test]
fn a_mismatch_waits_with_an_alarm() {
    let mismatch = tried(&[
        Ok(TryOutcome::Reserved),
        Ok(TryOutcome::Mismatch("other".to_owned())),
    ]);
    assert!(waits(&mismatch) && mismatch.alarm.is_some());
}

#[test]
fn whoever_decides_second_follows_the_first() {
    let mut second = tried(&[Ok(TryOutcome::Reserved)]);
    second.on_decided(Ok(logged(State::Cancelling, Some(LATE))));
    let cancels = Decided {
        outcome: Outcome::Cancelled,
        reason: Some(LATE),
    };
    assert_eq!(second.stage, Stage::Finish(cancels));
    assert!(second.alarm.is_none());
}

#[test]
fn a_refusal_after_a_confirm_was_decided_changes_nothing() {
    let mut second = tried(&[Ok(TryOutcome::Refused(NO))]);
    second.on_decided(Ok(logged(State::Confirming, None)));
    assert!(matches!(
        second.stage,
        Stage::Finish(Decided {
            outcome: Outcome::Confirmed,
            ..
        })
    ));
    assert!(second.alarm.is_none());
}

#[test]
fn a_branch_cancelled_under_an_undecided_log_is_an_alarm() {
    let mut flight = flight(Stage::Reread);
    flight.on_decided(Ok(logged(State::Trying, None)));
    assert!(waits(&flight) && flight.alarm.is_some());
}

#[test]
fn what_is_overdue_is_decided_to_be_cancelled() {
    let mut flight = flight(Stage::Log);
    let overdue = Some(LATE);
    flight.on_begun(Ok(Begun::Logged {
        state: State::Trying,
        reason: None,
        overdue,
    }));
    assert_eq!(
        flight.decision().map(|decision| decision.verdict),
        Some(Verdict::Cancel(LATE))
    );
}

#[test]
fn an_unreachable_log_parks_and_a_refused_record_is_dead() {
    let cause = "no answer".to_owned();
    for (fault, shard_away) in [
        (SetFault::Transient(cause.clone()), true),
        (SetFault::Held(cause.clone()), false),
    ] {
        let mut parked = flight(Stage::Log);
        parked.on_begun(Err(fault));
        let cause = cause.clone();
        let expected = Answer::Parked { cause, shard_away };
        assert_eq!(parked.stage, Stage::Over(expected));
    }
    let mut dead = flight(Stage::Log);
    dead.on_begun(Err(SetFault::Definite("too long".to_owned())));
    assert!(matches!(dead.stage, Stage::Over(Answer::Dead { .. })));
}

#[test]
fn it_ends_only_when_every_branch_is_finished() {
    let decided = Decided {
        outcome: Outcome::Confirmed,
        reason: None,
    };
    let mut done = flight(Stage::Finish(decided));
    done.on_finished(decided, &[Ok(FinishOutcome::Done), Ok(FinishOutcome::Done)]);
    assert!(done.ending().is_some());

    let mut pending = flight(Stage::Finish(decided));
    let away = Err(SetFault::Transient("away".to_owned()));
    pending.on_finished(decided, &[Ok(FinishOutcome::Done), away]);
    assert!(waits(&pending) && pending.alarm.is_none());

    let mut breach = flight(Stage::Finish(decided));
    let untried = FinishOutcome::Breach("never tried".to_owned());
    breach.on_finished(decided, &[Ok(FinishOutcome::Done), Ok(untried)]);
    assert!(waits(&breach) && breach.alarm.is_some());
}

#[test]
fn an_end_that_the_log_did_not_keep_is_an_alarm() {
    let decided = Decided {
        outcome: Outcome::Confirmed,
        reason: None,
    };
    let mut flight = flight(Stage::End(decided));
    flight.on_ended(decided, Ok(State::Cancelling));
    assert!(waits(&flight) && flight.alarm.is_some());
}

#[test]
fn a_row_that_contradicts_itself_waits_for_a_person() {
    let mut flight = flight(Stage::Log);
    flight.on_claimed(&Begun::Conflict("its own row".to_owned()));
    assert!(waits(&flight) && flight.alarm.is_some());
}
