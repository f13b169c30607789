//! The five rounds of a batch, and the postponement of what did not end.

use crate::batch::{Batch, BranchSet};
use crate::coordinator::{Coordinator, timed};
use crate::flight::{Flight, Stage};
use crate::operations::{Begin, Cancel, Confirm, Decide, End, Postpone, ToDecide, Try};
use crate::set::{SetFault, SetOperation};
use crate::{
    Answer, Branch, Ending, FinishOutcome, Outcome, Participant, Postponement, ShardId,
    TransactionLog,
};
use futures_util::future::join_all;
use std::time::Instant;

/// What a set's items were answered.
type Answers<T> = Vec<Result<T, SetFault>>;

impl<L, P> Coordinator<L, P>
where
    L: TransactionLog<Payload = P::Payload>,
    P: Participant,
{
    /// Round 1: what is new is logged; the log says where the rest stand.
    pub(crate) async fn log_round(&self, batch: &mut Batch<L::Record, L::Payload>) {
        if !batch
            .flights
            .iter()
            .any(|flight| flight.stage == Stage::Log)
        {
            return;
        }
        let since = Instant::now();
        let homes = batch.homes();
        let operation = Begin(&self.log);
        let sets = homes
            .iter()
            .map(|(shard, range)| (*shard, &batch.records[range.clone()]));
        let answers = join_all(sets.map(|(shard, set)| self.runner.run(shard, &operation, set)));
        for ((_, range), begun) in homes.iter().zip(answers.await) {
            for (flight, begun) in batch.flights[range.clone()].iter_mut().zip(begun) {
                flight.on_begun(begun);
            }
        }
        timed("log", since);
    }

    /// Round 2: every branch reserves, or refuses.
    pub(crate) async fn try_round(&self, batch: &mut Batch<L::Record, L::Payload>) {
        let since = Instant::now();
        let is_tried = |stage: &Stage| *stage == Stage::Try;
        let sets = batch.branch_sets(is_tried);
        let answers = self
            .on_shards(&Try(&self.participant), &sets, "after-try-one-shard")
            .await;
        let mut by_flight = answers_by_flight(&batch.flights, is_tried, &sets, answers);
        for (flight, tries) in batch.flights.iter_mut().zip(&mut by_flight) {
            if let Some(tries) = tries {
                flight.on_tried(tries);
            }
        }
        timed("try", since);
    }

    /// Round 3: the point of no return.
    pub(crate) async fn decide_round(&self, batch: &mut Batch<L::Record, L::Payload>) {
        let since = Instant::now();
        let operation = Decide {
            log: &self.log,
            records: &batch.records,
        };
        let to_decide = |record: usize, flight: &Flight<L::Payload>| {
            let decision = flight.decision();
            let looks = flight.stage == Stage::Reread;
            (looks || decision.is_some()).then_some(ToDecide { record, decision })
        };
        let sets = home_sets(batch, to_decide);
        let answers = join_all(
            sets.iter()
                .map(|(home, set)| self.runner.run(*home, &operation, set)),
        );
        let answers = answers.await;
        for ((_, set), stands) in sets.iter().zip(answers) {
            for (item, stands) in set.iter().zip(stands) {
                batch.flights[item.record].on_decided(stands);
            }
        }
        timed("decide", since);
    }

    /// Round 4: every branch is confirmed, or every one cancelled. In SQL transactions of their
    /// own: a confirm that had balances locked while a cancel asks for fences could deadlock.
    pub(crate) async fn finish_round(&self, batch: &mut Batch<L::Record, L::Payload>) {
        let since = Instant::now();
        let (confirm, cancel) = (Confirm(&self.participant), Cancel(&self.participant));
        let confirms = batch.branch_sets(|stage| finishes(stage, Outcome::Confirmed));
        let cancels = batch.branch_sets(|stage| finishes(stage, Outcome::Cancelled));
        let point = "after-confirm-one-shard";
        let (confirmed, cancelled) = tokio::join!(
            self.on_shards(&confirm, &confirms, point),
            self.on_shards(&cancel, &cancels, point),
        );
        note_finished(batch, Outcome::Confirmed, &confirms, confirmed);
        note_finished(batch, Outcome::Cancelled, &cancels, cancelled);
        timed("finish", since);
    }

    /// Round 5: the end.
    pub(crate) async fn end_round(&self, batch: &mut Batch<L::Record, L::Payload>) {
        let since = Instant::now();
        let sets = home_sets(batch, |place, flight| Some((place, flight.ending()?)));
        let operation = End(&self.log);
        let run = async |(home, set): &(ShardId, Vec<(usize, _)>)| {
            let endings: Vec<Ending> = set.iter().map(|(_, (_, ending))| *ending).collect();
            self.runner.run(*home, &operation, &endings).await
        };
        let answers = join_all(sets.iter().map(run)).await;
        for ((_, set), states) in sets.iter().zip(answers) {
            for ((place, (decided, _)), state) in set.iter().zip(states) {
                batch.flights[*place].on_ended(*decided, state);
            }
        }
        timed("end", since);
    }

    /// Tells the log when to sweep what did not end. Where that fails, its lease does.
    pub(crate) async fn postpone_rest(&self, batch: &Batch<L::Record, L::Payload>) {
        let sets = home_sets(batch, |_, flight| self.postponement(flight));
        let operation = Postpone(&self.log);
        let run = sets
            .iter()
            .map(|(home, set)| self.runner.run(*home, &operation, set));
        for ((home, set), answers) in sets.iter().zip(join_all(run).await) {
            let failed = answers.iter().filter(|answer| answer.is_err()).count();
            if failed > 0 {
                let shard = self.runner.shard_name(*home);
                tracing::debug!(shard, failed, of = set.len(), "left to their leases");
            }
        }
    }

    fn postponement(&self, flight: &Flight<L::Payload>) -> Option<Postponement> {
        match &flight.stage {
            Stage::Over(Answer::Waiting { cause }) => Some(Postponement {
                xid: flight.xid,
                delay: self.settings.backoff(flight.attempts, rand::random()),
                cause: cause.clone(),
            }),
            Stage::Over(Answer::Done { .. } | Answer::Parked { .. } | Answer::Dead { .. })
            | Stage::Log
            | Stage::Try
            | Stage::Decide(_)
            | Stage::Reread
            | Stage::Finish(_)
            | Stage::End(_) => None,
        }
    }

    /// Runs the operation on all shards in parallel; one after another only when a test stops
    /// between two of them.
    async fn on_shards<O: SetOperation<Item = Branch<P::Payload>>>(
        &self,
        operation: &O,
        sets: &[BranchSet<P::Payload>],
        point: &str,
    ) -> Vec<Answers<O::Answer>> {
        if !self.faults.is_armed(point) {
            let run = sets
                .iter()
                .map(|set| self.runner.run(set.shard, operation, &set.branches));
            return join_all(run).await;
        }
        let mut answers = Vec::with_capacity(sets.len());
        for set in sets {
            answers.push(self.runner.run(set.shard, operation, &set.branches).await);
            self.faults.point(point).await;
        }
        answers
    }
}

fn finishes(stage: &Stage, outcome: Outcome) -> bool {
    matches!(stage, Stage::Finish(decided) if decided.outcome == outcome)
}

fn note_finished<R, P>(
    batch: &mut Batch<R, P>,
    outcome: Outcome,
    sets: &[BranchSet<P>],
    answers: Vec<Answers<FinishOutcome>>,
) {
    let in_stage = |stage: &Stage| finishes(stage, outcome);
    let by_flight = answers_by_flight(&batch.flights, in_stage, sets, answers);
    for (flight, finished) in batch.flights.iter_mut().zip(by_flight) {
        if let (Stage::Finish(decided), Some(finished)) = (flight.stage.clone(), finished) {
            flight.on_finished(decided, &finished);
        }
    }
}

/// What was answered for each branch of the flights in the stage; nothing for other flights.
fn answers_by_flight<P, T>(
    flights: &[Flight<P>],
    in_stage: impl Fn(&Stage) -> bool,
    sets: &[BranchSet<P>],
    answers: Vec<Answers<T>>,
) -> Vec<Option<Answers<T>>> {
    let unheard = || Err(SetFault::Transient("no answer".to_owned()));
    let empty = |flight: &Flight<P>| {
        in_stage(&flight.stage).then(|| flight.branches.iter().map(|_| unheard()).collect())
    };
    let mut by_flight: Vec<Option<Answers<T>>> = flights.iter().map(empty).collect();
    for (set, answers) in sets.iter().zip(answers) {
        for (&(flight, branch), answer) in set.places.iter().zip(answers) {
            if let Some(of_flight) = &mut by_flight[flight] {
                of_flight[branch] = answer;
            }
        }
    }
    by_flight
}

/// What is to do on each log shard, in the order of the batch; shards with nothing are left out.
fn home_sets<R: Clone, P: Clone, I>(
    batch: &Batch<R, P>,
    item_of: impl Fn(usize, &Flight<P>) -> Option<I>,
) -> Vec<(ShardId, Vec<I>)> {
    let set_of = |range: std::ops::Range<usize>| {
        range
            .filter_map(|place| item_of(place, &batch.flights[place]))
            .collect::<Vec<I>>()
    };
    let sets = batch
        .homes()
        .into_iter()
        .map(|(home, range)| (home, set_of(range)));
    sets.filter(|(_, set)| !set.is_empty()).collect()
}
