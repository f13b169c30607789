//! A state of the protocol's model: rows, messages, workers, and what was seen on the way.

use super::defect::Defect;
use super::rows::{BranchRows, CLOSED, LATE, Leg, SHORT};
use super::worker::Worker;
use crate::fence::Fence;
use crate::operations::as_asked;
use crate::{Begun, Decision, FinishOutcome, Outcome, Reason, State, TryOutcome, Verdict, Xid};

/// The one global transaction.
pub(super) const XID: Xid = Xid([7; 16]);

/// At most so many branches.
pub(super) const BRANCHES_MAX: usize = 3;

/// The record in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Record {
    /// Delivered again and again.
    Queued,
    /// A worker answered for it: its offset may be committed.
    Answered,
    /// Never delivered again.
    Committed,
}

/// The log row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub state: State,
    pub reason: Option<Reason>,
}

/// What a worker asks of a server, in one SQL transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Begin,
    Try(usize),
    Decide(Verdict),
    Confirm(usize),
    Cancel(usize),
    End(Outcome),
}

/// Each request there can be, at its place.
const REQUESTS: [Request; 16] = [
    Request::Begin,
    Request::Decide(Verdict::Confirm),
    Request::Decide(Verdict::Cancel(SHORT)),
    Request::Decide(Verdict::Cancel(LATE)),
    Request::Decide(Verdict::Cancel(CLOSED)),
    Request::End(Outcome::Confirmed),
    Request::End(Outcome::Cancelled),
    Request::Try(0),
    Request::Try(1),
    Request::Try(2),
    Request::Confirm(0),
    Request::Confirm(1),
    Request::Confirm(2),
    Request::Cancel(0),
    Request::Cancel(1),
    Request::Cancel(2),
];

/// Every request that was ever sent: each may be carried out at any later time, again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Sent(u16);

impl Sent {
    pub(super) fn insert(&mut self, request: Request) {
        let place = REQUESTS.iter().position(|other| *other == request);
        self.0 |= 1 << place.expect("a request that is not in the list");
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Request> {
        let is_sent = move |place: &usize| self.0 & (1 << place) != 0;
        (0..REQUESTS.len())
            .filter(is_sent)
            .map(|place| REQUESTS[place])
    }
}

/// What the properties have to remember.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// The first decision logged.
    pub decision: Option<Verdict>,
    /// Which branches answered that they are cancelled.
    pub cancelled: [bool; BRANCHES_MAX],
    /// What a person was called for.
    pub alarm: Option<&'static str>,
    /// An answer that was not true when it was given.
    pub untrue: Option<&'static str>,
    /// Somebody came second with another decision.
    pub second: bool,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub record: Record,
    pub row: Option<Row>,
    /// The time to decide ran out, by the database's clock.
    pub is_late: bool,
    /// Those that the model has; the rest stay as they are.
    pub branches: [BranchRows; BRANCHES_MAX],
    /// What payers spent elsewhere.
    pub elsewhere: i8,
    pub workers: [Worker; 2],
    pub sent: Sent,
    pub seen: Seen,
}

impl World {
    pub(super) fn new(legs: &[Leg]) -> Self {
        let rows = |place| BranchRows::of(legs.get(place).copied().unwrap_or(Leg::Credit(0)));
        Self {
            record: Record::Queued,
            row: None,
            is_late: false,
            branches: std::array::from_fn(rows),
            elsewhere: 0,
            workers: [Worker::Idle; 2],
            sent: Sent::default(),
            seen: Seen::default(),
        }
    }

    /// Round 1.
    pub(super) fn begin(&mut self) -> Begun {
        let new = Row {
            state: State::Trying,
            reason: None,
        };
        let row = *self.row.get_or_insert(new);
        let is_overdue = row.state == State::Trying && self.is_late;
        Begun::Logged {
            state: row.state,
            reason: row.reason,
            overdue: is_overdue.then_some(LATE),
        }
    }

    /// Round 3: what the operation on the log row answers, as the live one does; no verdict only
    /// looks.
    pub(super) fn decide(&mut self, verdict: Option<Verdict>, defect: Option<Defect>) -> Begun {
        let asked = verdict.and_then(|verdict| {
            let state = self.compare_and_set(verdict, defect);
            self.seen.second |= state != verdict.state();
            let decision = Decision { xid: XID, verdict };
            as_asked(decision, &mut std::iter::once(state))
        });
        match (defect, verdict) {
            (Some(Defect::LoserKeepsItsVerdict), Some(verdict)) => Begun::Logged {
                state: verdict.state(),
                reason: verdict.reason(),
                overdue: None,
            },
            (_, _) => asked.unwrap_or_else(|| self.begin()),
        }
    }

    /// The state that stands afterwards.
    fn compare_and_set(&mut self, verdict: Verdict, defect: Option<Defect>) -> State {
        let Some(row) = &mut self.row else {
            panic!("a decision on a row that is not there");
        };
        if row.state == State::Trying || defect == Some(Defect::NoCompareAndSet) {
            *row = Row {
                state: verdict.state(),
                reason: verdict.reason(),
            };
            self.seen.decision.get_or_insert(verdict);
        }
        row.state
    }

    /// Round 5: the state that stands afterwards.
    pub(super) fn end(&mut self, outcome: Outcome, defect: Option<Defect>) -> State {
        let Some(row) = &mut self.row else {
            panic!("an end of a row that is not there");
        };
        let decided = match outcome {
            Outcome::Confirmed => State::Confirming,
            Outcome::Cancelled => State::Cancelling,
        };
        if row.state == decided {
            row.state = outcome.state();
        }
        if defect == Some(Defect::FencesForgotten) && row.state == outcome.state() {
            for rows in &mut self.branches {
                rows.fence = None;
            }
        }
        row.state
    }

    /// A branch's try. One that says it reserved must have.
    pub(super) fn try_reserve(
        &mut self,
        branch: usize,
        leg: Leg,
        defect: Option<Defect>,
    ) -> TryOutcome {
        let rows = &mut self.branches[branch];
        let answer = rows.try_reserve(leg, defect);
        let can_be_confirmed = match leg {
            Leg::Debit(_) => matches!(rows.fence, Some(Fence::Reserved | Fence::Confirmed)),
            Leg::Credit(_) => true,
        };
        if answer == TryOutcome::Reserved && !can_be_confirmed {
            self.seen.untrue = Some("reserved, but it cannot be confirmed");
        }
        answer
    }

    /// A branch's confirm or cancel.
    pub(super) fn finish(
        &mut self,
        branch: usize,
        leg: Leg,
        outcome: Outcome,
        defect: Option<Defect>,
    ) -> FinishOutcome {
        let rows = &mut self.branches[branch];
        let answer = match outcome {
            Outcome::Confirmed => rows.confirm(leg, defect),
            Outcome::Cancelled => rows.cancel(leg, defect),
        };
        if (outcome, &answer) == (Outcome::Cancelled, &FinishOutcome::Done) {
            self.seen.cancelled[branch] = true;
        }
        answer
    }

    /// How it ended, if it did.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.row?.state {
            State::Confirmed => Some(Outcome::Confirmed),
            State::Cancelled => Some(Outcome::Cancelled),
            State::Trying | State::Confirming | State::Cancelling => None,
        }
    }
}
