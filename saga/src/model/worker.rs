//! A worker of the protocol's model: the live flight, moved by what it hears.

use super::defect::Defect;
use super::rows::LATE;
use super::world::{BRANCHES_MAX, Request, XID};
use crate::flight::{Decided, Flight, Stage};
use crate::set::SetFault;
use crate::state::Event;
use crate::{Answer, Begun, FinishOutcome, Outcome, Reason, ShardId, State, TryOutcome};

/// A worker, between two of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Worker {
    /// It has nothing in hand.
    Idle,
    /// It has the global transaction in hand, at this point.
    At(At),
}

/// Where a worker is, and what it has heard of each branch in this round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub round: Round,
    pub heard: [Heard; BRANCHES_MAX],
}

/// The stages of a flight that ask something of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Round {
    Log,
    Try,
    Decide(Event),
    Reread,
    Finish(Decided),
    End(Decided),
}

/// What was heard of a branch in this round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Heard {
    /// Nothing yet.
    Nothing,
    /// That nobody knows.
    Fault,
    Reserved,
    Refused(Reason),
    CancelledBefore,
    Done,
    Breach,
}

/// What a worker heard from the log, or that nobody knows.
pub(super) enum FromLog {
    Begun(Result<Begun, ()>),
    Ended(Result<State, ()>),
}

/// A worker's move.
pub(super) struct Moved {
    /// Where it is now; nothing: it answered.
    pub to: Result<At, Answer>,
    pub alarm: Option<&'static str>,
}

impl At {
    fn start(round: Round) -> Self {
        Self {
            round,
            heard: [Heard::Nothing; BRANCHES_MAX],
        }
    }

    /// A record was delivered.
    pub(super) fn delivered() -> Self {
        Self::start(Round::Log)
    }

    /// The sweeper leased it.
    pub(super) fn claimed(begun: &Begun, defect: Option<Defect>) -> Moved {
        let mut flight = flight(Stage::Log);
        flight.on_claimed(begun);
        moved(flight, defect)
    }

    /// What it asks of the servers, once it is there.
    pub(super) fn requests(&self, branches: usize) -> Vec<Request> {
        let each = |request: fn(usize) -> Request| (0..branches).map(request).collect();
        match self.round {
            Round::Log => vec![Request::Begin],
            Round::Try => each(Request::Try),
            Round::Decide(_) => {
                let decision = flight(self.stage()).decision();
                let request = |decision: crate::Decision| Request::Decide(decision.verdict);
                decision.map(request).into_iter().collect()
            }
            Round::Reread => Vec::new(),
            Round::Finish(decided) => match decided.outcome {
                Outcome::Confirmed => each(Request::Confirm),
                Outcome::Cancelled => each(Request::Cancel),
            },
            Round::End(decided) => vec![Request::End(decided.outcome)],
        }
    }

    /// Hears from the log.
    pub(super) fn hear(self, from: FromLog, defect: Option<Defect>) -> Moved {
        let unknown = |()| SetFault::Transient(String::new());
        let mut flight = flight(self.stage());
        match (self.round, from) {
            (Round::Log, FromLog::Begun(begun)) => {
                let begun = begun.map(|begun| by_own_clock(begun, defect));
                flight.on_begun(begun.map_err(unknown));
            }
            (Round::Decide(_) | Round::Reread, FromLog::Begun(begun)) => {
                flight.on_decided(begun.map_err(unknown));
            }
            (Round::End(decided), FromLog::Ended(state)) => {
                flight.on_ended(decided, state.map_err(unknown));
            }
            (round, _) => panic!("the log does not answer so in {round:?}"),
        }
        moved(flight, defect)
    }

    /// Hears of a branch; the last of them moves it.
    pub(super) fn hear_branch(
        mut self,
        branch: usize,
        heard: Heard,
        branches: usize,
        defect: Option<Defect>,
    ) -> Moved {
        self.heard[branch] = heard;
        let all = &self.heard[..branches];
        if all.contains(&Heard::Nothing) {
            return Moved {
                to: Ok(self),
                alarm: None,
            };
        }
        let mut flight = flight(self.stage());
        match self.round {
            Round::Try => {
                let tries: Vec<_> = all.iter().map(|heard| heard.of_try(defect)).collect();
                flight.on_tried(&tries);
            }
            Round::Finish(decided) => {
                let finished: Vec<_> = all.iter().map(|heard| heard.of_finish(defect)).collect();
                flight.on_finished(decided, &finished);
            }
            round => panic!("no branch answers in {round:?}"),
        }
        moved(flight, defect)
    }

    fn stage(&self) -> Stage {
        match self.round {
            Round::Log => Stage::Log,
            Round::Try => Stage::Try,
            Round::Decide(event) => Stage::Decide(event),
            Round::Reread => Stage::Reread,
            Round::Finish(decided) => Stage::Finish(decided),
            Round::End(decided) => Stage::End(decided),
        }
    }
}

impl Heard {
    fn of_try(self, defect: Option<Defect>) -> Result<TryOutcome, SetFault> {
        match (self, defect) {
            (Self::Fault, Some(Defect::UnheardTryIsSuccess))
            | (Self::Refused(_), Some(Defect::RefusalIsSuccess | Defect::RefusedCanBeConfirmed))
            | (Self::Reserved, _) => Ok(TryOutcome::Reserved),
            (Self::Refused(reason), _) => Ok(TryOutcome::Refused(reason)),
            (Self::CancelledBefore, _) => Ok(TryOutcome::CancelledBefore),
            (Self::Fault | Self::Nothing | Self::Done | Self::Breach, _) => {
                Err(SetFault::Transient(String::new()))
            }
        }
    }

    fn of_finish(self, defect: Option<Defect>) -> Result<FinishOutcome, SetFault> {
        match (self, defect) {
            (Self::Fault, Some(Defect::EndWhilePending)) | (Self::Done, _) => {
                Ok(FinishOutcome::Done)
            }
            (Self::Breach, _) => Ok(FinishOutcome::Breach(String::new())),
            (
                Self::Fault
                | Self::Nothing
                | Self::Reserved
                | Self::Refused(_)
                | Self::CancelledBefore,
                _,
            ) => Err(SetFault::Transient(String::new())),
        }
    }
}

fn flight(stage: Stage) -> Flight<()> {
    Flight {
        xid: XID,
        home: ShardId(0),
        branches: Vec::new(),
        attempts: 0,
        stage,
        alarm: None,
    }
}

fn moved(flight: Flight<()>, defect: Option<Defect>) -> Moved {
    let confirmed = Decided {
        outcome: Outcome::Confirmed,
        reason: None,
    };
    let round = match flight.stage {
        Stage::Decide(Event::Reserved) if defect == Some(Defect::ConfirmBeforeDecision) => {
            Ok(Round::Finish(confirmed))
        }
        Stage::Log => Ok(Round::Log),
        Stage::Try => Ok(Round::Try),
        Stage::Decide(event) => Ok(Round::Decide(event)),
        Stage::Reread => Ok(Round::Reread),
        Stage::Finish(decided) => Ok(Round::Finish(decided)),
        Stage::End(decided) => Ok(Round::End(decided)),
        Stage::Over(answer) => Err(answer),
    };
    Moved {
        to: round.map(At::start),
        alarm: flight.alarm.map(|alarm| alarm.kind),
    }
}

/// The defect: whoever finds it late takes it for undecided, whatever stands.
fn by_own_clock(begun: Begun, defect: Option<Defect>) -> Begun {
    match (begun, defect) {
        (
            Begun::Logged {
                state: State::Confirming,
                ..
            },
            Some(Defect::OwnClockCancels),
        ) => Begun::Logged {
            state: State::Cancelling,
            reason: Some(LATE),
            overdue: None,
        },
        (begun, _) => begun,
    }
}
