//! One global transaction in the coordinator's hands: how what is learnt in a round moves it to
//! the next. Pure; the rounds do the asking.

use crate::recovery::{Step, plan};
use crate::set::SetFault;
use crate::state::{Event, Next, next};
use crate::{
    Answer, Begun, Branch, Decision, Ending, FinishOutcome, Outcome, Reason, ShardId, State,
    TryOutcome, Xid,
};

/// A global transaction on its way.
#[derive(Debug)]
pub(crate) struct Flight<P> {
    pub xid: Xid,
    /// Its log shard.
    pub home: ShardId,
    pub branches: Vec<Branch<P>>,
    /// How often it was attempted before.
    pub attempts: u32,
    pub stage: Stage,
    /// What a person has to look at.
    pub alarm: Option<Alarm>,
}

/// What a global transaction needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Round 1.
    Log,
    /// Round 2.
    Try,
    /// Round 3, for what this event asks for.
    Decide(Event),
    /// Round 3, only to read where it stands: somebody else has been at its branches.
    Reread,
    /// Round 4.
    Finish(Decided),
    /// Round 5.
    End(Decided),
    /// Nothing more in this run.
    Over(Answer),
}

/// What was decided, as the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Decided {
    pub outcome: Outcome,
    pub reason: Option<Reason>,
}

/// Why a person has to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub kind: &'static str,
    pub cause: String,
}

impl<P> Flight<P> {
    /// After round 1.
    pub(crate) fn on_begun(&mut self, begun: Result<Begun, SetFault>) {
        self.stage = match begun {
            Ok(begun) => stage_of(plan(&begun)),
            Err(SetFault::Transient(cause)) => Stage::Over(Answer::Parked {
                cause,
                shard_away: true,
            }),
            Err(SetFault::Held(cause)) => Stage::Over(Answer::Parked {
                cause,
                shard_away: false,
            }),
            Err(SetFault::Definite(cause)) => Stage::Over(Answer::Dead { cause }),
        };
    }

    /// Taken over by the sweeper: as after round 1, but its record is not the proof any more.
    pub(crate) fn on_claimed(&mut self, begun: &Begun) {
        self.stage = stage_of(plan(begun));
        if let Stage::Over(Answer::Dead { cause }) = &self.stage {
            let cause = cause.clone();
            self.wait_alarmed("log_contradicts_itself", cause);
        }
    }

    /// After round 2, with what was said of each branch.
    ///
    /// A refusal decides, whatever else was or was not heard. A mismatch never does: what stands
    /// under the branch's name is not what the log says was asked for, so it may not be confirmed,
    /// and the engine has no reason of its own to cancel for. It waits, with an alarm, until its
    /// time to be decided runs out; then it is cancelled, for the log's reason, as any other. That
    /// cancel finds the other payload too, and it is the participant's to refuse to undo it.
    pub(crate) fn on_tried(&mut self, tries: &[Result<TryOutcome, SetFault>]) {
        let (mut cancelled, mut mismatch, mut fault) = (false, None, None);
        let mut refused = None;
        for tried in tries {
            match tried {
                Ok(TryOutcome::Reserved) => {}
                Ok(TryOutcome::Refused(reason)) => refused = refused.or(Some(*reason)),
                Ok(TryOutcome::CancelledBefore) => cancelled = true,
                Ok(TryOutcome::Mismatch(cause)) => mismatch = Some(cause),
                Err(why) => fault = worse(fault, why),
            }
        }
        if let Some(cause) = mismatch {
            self.alarm = Some(Alarm {
                kind: "try_mismatch",
                cause: cause.clone(),
            });
        }
        match (refused, cancelled, mismatch, fault) {
            (Some(reason), _, _, _) => self.stage = Stage::Decide(Event::Refused(reason)),
            (None, true, _, _) => self.stage = Stage::Reread,
            (None, false, Some(cause), _) => self.wait(cause.clone()),
            (None, false, None, Some(fault)) => self.wait_for(fault),
            (None, false, None, None) => self.stage = Stage::Decide(Event::Reserved),
        }
    }

    /// After round 3, with where the log stands now. Whoever came second follows the first.
    pub(crate) fn on_decided(&mut self, stands: Result<Begun, SetFault>) {
        let begun = match stands {
            Ok(begun) => begun,
            Err(fault) => return self.wait_for(&fault),
        };
        let asked = self.stage.clone();
        if let (Stage::Decide(event), Begun::Logged { state, .. }) = (&asked, &begun)
            && next(*state, *event) == Next::Breach
        {
            let cause = format!("the log says {state:?}, the branches say {event:?}");
            self.alarm = Some(Alarm {
                kind: "log_against_branches",
                cause,
            });
        }
        match (asked, plan(&begun)) {
            (Stage::Reread, Step::Overdue(_)) => self.wait("its time ran out meanwhile".to_owned()),
            (Stage::Reread, Step::Try) => {
                let cause = "a branch was cancelled, but the log is undecided".to_owned();
                self.wait_alarmed("cancelled_undecided", cause);
            }
            (_, Step::Try | Step::Overdue(_)) => {
                self.wait_alarmed(
                    "decision_not_kept",
                    "the log did not keep the decision".into(),
                );
            }
            (_, Step::Refuse { cause }) => self.wait_alarmed("log_contradicts_itself", cause),
            (_, step @ (Step::Confirm | Step::Cancel { .. } | Step::Nothing { .. })) => {
                self.stage = stage_of(step);
            }
        }
    }

    /// After round 4, with what was said of each branch. Only when every branch is finished may
    /// the global transaction end.
    pub(crate) fn on_finished(
        &mut self,
        decided: Decided,
        finished: &[Result<FinishOutcome, SetFault>],
    ) {
        let mut fault = None;
        for outcome in finished {
            match outcome {
                Ok(FinishOutcome::Done) => {}
                Ok(FinishOutcome::Breach(cause)) => {
                    return self.wait_alarmed("branch_breach", cause.clone());
                }
                Err(why) => fault = worse(fault, why),
            }
        }
        match fault {
            Some(fault) => self.wait_for(fault),
            None => self.stage = Stage::End(decided),
        }
    }

    /// After round 5, with the state that stands.
    pub(crate) fn on_ended(&mut self, decided: Decided, state: Result<State, SetFault>) {
        match state {
            Ok(state) if state == decided.outcome.state() => {
                let Decided { outcome, reason } = decided;
                self.stage = Stage::Over(Answer::Done { outcome, reason });
            }
            Ok(state) => {
                let cause = format!(
                    "{:?} by its branches, {state:?} by its log",
                    decided.outcome
                );
                self.wait_alarmed("log_against_branches", cause);
            }
            Err(fault) => self.wait_for(&fault),
        }
    }

    /// The decision to log in round 3, if there is one.
    pub(crate) fn decision(&self) -> Option<Decision> {
        match self.stage {
            Stage::Decide(event) => match next(State::Trying, event) {
                Next::Decide(verdict) => Some(Decision {
                    xid: self.xid,
                    verdict,
                }),
                Next::End(_) | Next::Keep | Next::Breach => None,
            },
            Stage::Log
            | Stage::Try
            | Stage::Reread
            | Stage::Finish(_)
            | Stage::End(_)
            | Stage::Over(_) => None,
        }
    }

    /// The end to log in round 5, if there is one.
    pub(crate) fn ending(&self) -> Option<(Decided, Ending)> {
        match self.stage {
            Stage::End(decided) => Some((
                decided,
                Ending {
                    xid: self.xid,
                    outcome: decided.outcome,
                },
            )),
            Stage::Log
            | Stage::Try
            | Stage::Decide(_)
            | Stage::Reread
            | Stage::Finish(_)
            | Stage::Over(_) => None,
        }
    }

    fn wait(&mut self, cause: String) {
        self.stage = Stage::Over(Answer::Waiting { cause });
    }

    fn wait_for(&mut self, fault: &SetFault) {
        match fault {
            SetFault::Transient(cause) | SetFault::Held(cause) => self.wait(cause.clone()),
            SetFault::Definite(cause) => self.wait_alarmed("definite_fault", cause.clone()),
        }
    }

    fn wait_alarmed(&mut self, kind: &'static str, cause: String) {
        self.alarm = Some(Alarm {
            kind,
            cause: cause.clone(),
        });
        self.wait(cause);
    }
}

fn stage_of(step: Step) -> Stage {
    match step {
        Step::Try => Stage::Try,
        Step::Overdue(reason) => Stage::Decide(Event::Overdue(reason)),
        Step::Confirm => Stage::Finish(Decided {
            outcome: Outcome::Confirmed,
            reason: None,
        }),
        Step::Cancel { reason } => Stage::Finish(Decided {
            outcome: Outcome::Cancelled,
            reason,
        }),
        Step::Nothing { outcome, reason } => Stage::Over(Answer::Done { outcome, reason }),
        Step::Refuse { cause } => Stage::Over(Answer::Dead { cause }),
    }
}

/// A definite fault is the one to tell of.
fn worse<'a>(one: Option<&'a SetFault>, other: &'a SetFault) -> Option<&'a SetFault> {
    match (one, other) {
        (Some(one @ SetFault::Definite(_)), _) => Some(one),
        (Some(_) | None, other) => Some(other),
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
