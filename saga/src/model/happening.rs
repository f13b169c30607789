//! What each thing that can happen does to a state of the protocol's model.

use super::defect::Defect;
use super::protocol::{Happens, Protocol};
use super::rows::Leg;
use super::worker::{At, FromLog, Heard, Moved, Round, Worker};
use super::world::{Record, Request, World};
use crate::{Answer, FinishOutcome, Outcome, TryOutcome};

impl Protocol {
    pub(super) fn happen(&self, world: &mut World, action: Happens) {
        match action {
            Happens::Deliver(w) => self.arrive(world, w, At::delivered()),
            Happens::Claim(w) => {
                let begun = world.begin();
                self.follow(world, w, At::claimed(&begun, self.defect));
            }
            Happens::LogAnswers(w) => {
                let at = at(world, w);
                let answer = self.ask_log(world, &at);
                self.follow(world, w, at.hear(answer, self.defect));
            }
            Happens::LogFails(w) => {
                let at = at(world, w);
                let fault = match at.round {
                    Round::End(_) => FromLog::Ended(Err(())),
                    _ => FromLog::Begun(Err(())),
                };
                self.follow(world, w, at.hear(fault, self.defect));
            }
            Happens::BranchAnswers(w, b) => {
                let at = at(world, w);
                let heard = self.ask_branch(world, b, &at);
                self.follow(
                    world,
                    w,
                    at.hear_branch(b, heard, self.legs.len(), self.defect),
                );
            }
            Happens::BranchFails(w, b) => self.fail(world, w, b),
            Happens::DoneLate(request) => self.do_late(world, request),
            Happens::Crash(w) => world.workers[w] = Worker::Idle,
            Happens::CommitOffset => world.record = Record::Committed,
            Happens::TimeRunsOut => world.is_late = true,
            Happens::Spend(b) => self.spend(world, b, 1),
            Happens::Refund(b) => self.spend(world, b, -1),
            Happens::Close(b) => world.branches[b].is_open = false,
        }
    }

    pub(super) fn spend(&self, world: &mut World, b: usize, sign: i8) {
        if let Leg::Debit(amount) = self.legs[b] {
            world.branches[b].balance -= sign * amount;
            world.elsewhere += sign * amount;
        }
    }

    fn fail(&self, world: &mut World, w: usize, branch: usize) {
        let mut at = at(world, w);
        let fails = |b: usize, heard: Heard| heard == Heard::Nothing && b != branch;
        for b in (0..self.legs.len()).filter(|_| self.faults_spread) {
            if fails(b, at.heard[b]) {
                at.heard[b] = Heard::Fault;
            }
        }
        let moved = at.hear_branch(branch, Heard::Fault, self.legs.len(), self.defect);
        self.follow(world, w, moved);
    }

    fn ask_log(&self, world: &mut World, at: &At) -> FromLog {
        match (at.round, at.requests(self.legs.len()).first()) {
            (Round::End(decided), _) => FromLog::Ended(Ok(world.end(decided.outcome, self.defect))),
            (Round::Decide(_), Some(Request::Decide(verdict))) => {
                FromLog::Begun(Ok(world.decide(Some(*verdict), self.defect)))
            }
            (Round::Reread, _) => FromLog::Begun(Ok(world.decide(None, self.defect))),
            (_, _) => FromLog::Begun(Ok(world.begin())),
        }
    }

    fn ask_branch(&self, world: &mut World, b: usize, at: &At) -> Heard {
        match at.round {
            Round::Finish(decided) => {
                match world.finish(b, self.legs[b], decided.outcome, self.defect) {
                    FinishOutcome::Done => Heard::Done,
                    FinishOutcome::Breach(_) => Heard::Breach,
                }
            }
            _try => match world.try_reserve(b, self.legs[b], self.defect) {
                TryOutcome::Reserved => Heard::Reserved,
                TryOutcome::Refused(reason) => Heard::Refused(reason),
                TryOutcome::CancelledBefore => Heard::CancelledBefore,
                TryOutcome::Mismatch(_) => Heard::Breach,
            },
        }
    }

    fn do_late(&self, world: &mut World, request: Request) {
        match request {
            Request::Begin => drop(world.begin()),
            Request::Try(b) => drop(world.try_reserve(b, self.legs[b], self.defect)),
            Request::Decide(verdict) => drop(world.decide(Some(verdict), self.defect)),
            Request::Confirm(b) => {
                drop(world.finish(b, self.legs[b], Outcome::Confirmed, self.defect));
            }
            Request::Cancel(b) => {
                drop(world.finish(b, self.legs[b], Outcome::Cancelled, self.defect));
            }
            Request::End(outcome) => drop(world.end(outcome, self.defect)),
        }
    }

    /// The worker is where its flight went.
    fn follow(&self, world: &mut World, w: usize, moved: Moved) {
        world.seen.alarm = world.seen.alarm.or(moved.alarm);
        match moved.to {
            Ok(at) => self.arrive(world, w, at),
            Err(answer) => {
                world.workers[w] = Worker::Idle;
                self.answer(world, &answer);
            }
        }
    }

    /// From here on, what it asks for may be done whenever.
    fn arrive(&self, world: &mut World, w: usize, at: At) {
        for request in at.requests(self.legs.len()) {
            world.sent.insert(request);
        }
        world.workers[w] = Worker::At(at);
    }

    fn answer(&self, world: &mut World, answer: &Answer) {
        let untrue = match answer {
            Answer::Done { outcome, .. } if world.outcome() != Some(*outcome) => {
                Some("done, but not by the log")
            }
            Answer::Waiting { .. } if world.row.is_none() => Some("waiting, but not logged"),
            Answer::Dead { .. } => Some("dead"),
            Answer::Done { .. } | Answer::Waiting { .. } | Answer::Parked { .. } => None,
        };
        world.seen.untrue = world.seen.untrue.or(untrue);
        let commits = match answer {
            Answer::Done { .. } | Answer::Waiting { .. } | Answer::Dead { .. } => true,
            Answer::Parked { .. } => self.defect == Some(Defect::ParkedIsCommitted),
        };
        if commits && world.record == Record::Queued {
            world.record = Record::Answered;
        }
    }

    /// Whether one worker that nobody disturbs ends it from here, when everybody else has died.
    pub(super) fn is_ended_by_whoever_comes_next(&self, world: &World) -> bool {
        let mut world = world.clone();
        world.workers = [Worker::Idle; 2];
        if world.outcome().is_none() {
            let mut starts = Vec::new();
            self.starts(0, &world, &mut starts);
            let Some(start) = starts.pop() else {
                return false;
            };
            self.happen(&mut world, start);
        }
        while let Worker::At(at) = world.workers[0] {
            let mut steps = Vec::new();
            self.steps(0, &at, &mut steps);
            self.happen(&mut world, steps[0]);
        }
        world.outcome().is_some() && world.branches.iter().all(|rows| rows.held == 0)
    }
}

fn at(world: &World, w: usize) -> At {
    match world.workers[w] {
        Worker::At(at) => at,
        Worker::Idle => panic!("nobody to hear it"),
    }
}
