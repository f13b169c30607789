//! The protocol's model: everything that can happen next in a state.

use super::defect::Defect;
use super::properties;
use super::rows::Leg;
use super::worker::{At, Heard, Round, Worker};
use super::world::{Record, Request, World};
use crate::State;
use stateright::{Model, Property};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is explored.
#[derive(Debug, Clone)]
pub(super) struct Protocol {
    pub legs: Vec<Leg>,
    /// Payers spend and get money elsewhere at any time; if not, each is short of it or not from
    /// the start.
    pub funds_move: bool,
    /// Payees' accounts are closed at any time.
    pub payees_close: bool,
    /// A worker that does not hear of one branch does not hear of those still open either.
    pub faults_spread: bool,
    pub defect: Option<Defect>,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happens {
    /// The record is delivered to a worker.
    Deliver(usize),
    /// The row is due: a worker's sweeper leases it.
    Claim(usize),
    /// The log does what a worker asked, and the worker hears the answer.
    LogAnswers(usize),
    /// A worker is told that nobody knows what the log did.
    LogFails(usize),
    /// A branch's server does what a worker asked, and the worker hears the answer.
    BranchAnswers(usize, usize),
    /// A worker is told that nobody knows what a branch's server did.
    BranchFails(usize, usize),
    /// A server does what somebody once asked of it; nobody hears the answer.
    DoneLate(Request),
    /// A worker dies.
    Crash(usize),
    /// The record's offset is committed.
    CommitOffset,
    /// The time to decide runs out.
    TimeRunsOut,
    /// A payer spends what is available.
    Spend(usize),
    /// A payer gets its money back.
    Refund(usize),
    /// A payee's account is closed.
    Close(usize),
}

impl Model for Protocol {
    type State = World;
    type Action = Happens;

    fn init_states(&self) -> Vec<World> {
        let mut worlds = vec![World::new(&self.legs)];
        let is_payer = |b: &usize| matches!(self.legs[*b], Leg::Debit(_));
        for b in (0..self.legs.len())
            .filter(is_payer)
            .filter(|_| !self.funds_move)
        {
            let mut short = worlds.clone();
            short.iter_mut().for_each(|world| self.spend(world, b, 1));
            worlds.extend(short);
        }
        worlds
    }

    fn actions(&self, world: &World, actions: &mut Vec<Happens>) {
        for (w, worker) in world.workers.iter().enumerate() {
            match worker {
                Worker::Idle => self.starts(w, world, actions),
                Worker::At(at) => {
                    actions.push(Happens::Crash(w));
                    self.steps(w, at, actions);
                }
            }
        }
        actions.extend(world.sent.iter().map(Happens::DoneLate));
        if world.record == Record::Answered {
            actions.push(Happens::CommitOffset);
        }
        if !world.is_late {
            actions.push(Happens::TimeRunsOut);
        }
        for (b, leg) in self.legs.iter().enumerate() {
            let rows = &world.branches[b];
            match leg {
                Leg::Debit(amount) if self.funds_move => {
                    if rows.available() >= *amount {
                        actions.push(Happens::Spend(b));
                    } else if world.elsewhere >= *amount {
                        actions.push(Happens::Refund(b));
                    }
                }
                Leg::Credit(_) if self.payees_close && rows.is_open => {
                    actions.push(Happens::Close(b));
                }
                Leg::Debit(_) | Leg::Credit(_) => {}
            }
        }
    }

    fn next_state(&self, last: &World, action: Happens) -> Option<World> {
        let mut world = last.clone();
        self.happen(&mut world, action);
        // Workers are alike: which of them is where makes no difference.
        world.workers.sort_by_key(order_of);
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Protocol {
    /// How an idle worker may get the global transaction in hand.
    pub(super) fn starts(&self, w: usize, world: &World, actions: &mut Vec<Happens>) {
        if world.record != Record::Committed {
            actions.push(Happens::Deliver(w));
        }
        if self.is_swept(world) {
            actions.push(Happens::Claim(w));
        }
    }

    fn is_swept(&self, world: &World) -> bool {
        let state = world.row.map(|row| row.state);
        match state {
            Some(State::Trying) => self.defect != Some(Defect::UndecidedNotSwept),
            Some(State::Confirming | State::Cancelling) => {
                self.defect != Some(Defect::DecidedNotSwept)
            }
            Some(State::Confirmed | State::Cancelled) | None => false,
        }
    }

    /// What a worker may hear next.
    pub(super) fn steps(&self, w: usize, at: &At, actions: &mut Vec<Happens>) {
        match at.round {
            Round::Log | Round::Decide(_) | Round::Reread | Round::End(_) => {
                actions.extend([Happens::LogAnswers(w), Happens::LogFails(w)]);
            }
            Round::Try | Round::Finish(_) => {
                let open = (0..self.legs.len()).filter(|b| at.heard[*b] == Heard::Nothing);
                for b in open {
                    actions.extend([Happens::BranchAnswers(w, b), Happens::BranchFails(w, b)]);
                }
            }
        }
    }
}

fn order_of(worker: &Worker) -> u64 {
    let mut hasher = DefaultHasher::new();
    worker.hash(&mut hasher);
    hasher.finish()
}
