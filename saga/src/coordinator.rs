//! Drives batches of global transactions through the rounds, each to one outcome.
//!
//! | round | where | what |
//! |---|---|---|
//! | 1 log | log shards | the records are logged as trying |
//! | 2 try | participants' shards | every branch reserves, or one refuses |
//! | 3 decide | log shards | a compare-and-set makes each confirming or cancelling: the point of no return |
//! | 4 finish | participants' shards | every branch is confirmed, or every one cancelled |
//! | 5 end | log shards | confirmed or cancelled |
//!
//! Each round runs for the whole batch, one SQL transaction per shard (two where round 4 both
//! confirms and cancels), the shards in parallel. What cannot go on leaves the batch with its
//! answer; the rest do not wait for it. A coordinator that dies leaves rows, not memory: whoever
//! runs the same records again, or sweeps them, goes on from what the log says, and two who do so
//! at once do what one would have done.

use crate::batch::Batch;
use crate::faults::Faults;
use crate::flight::{Flight, Stage};
use crate::fold::fold;
use crate::set::SetRunner;
use crate::settings::CoordinatorSettings;
use crate::{Answer, Claimed, Participant, Shards, TransactionLog, Xid, meter};
use std::collections::HashMap;
use std::time::Instant;

/// Drives global transactions. It keeps nothing between two runs.
#[derive(Debug)]
pub struct Coordinator<L, P> {
    pub(crate) log: L,
    pub(crate) participant: P,
    pub(crate) runner: SetRunner,
    pub(crate) settings: CoordinatorSettings,
    pub(crate) faults: Faults,
}

impl<L, P> Coordinator<L, P>
where
    L: TransactionLog<Payload = P::Payload>,
    P: Participant,
{
    /// A coordinator for these shards.
    pub fn new(log: L, participant: P, shards: Shards, settings: CoordinatorSettings) -> Self {
        let runner = SetRunner::new(shards, settings.clone());
        Self {
            log,
            participant,
            runner,
            settings,
            faults: Faults::from_env(),
        }
    }

    /// The same with fault points of its own.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Runs records in the order of their delivery; the answers stand in the same order. Records
    /// may be old, and may repeat each other within the batch: the result is that of running them
    /// one by one.
    pub async fn run(&self, records: Vec<L::Record>) -> Vec<Answer> {
        let xids: Vec<Xid> = records.iter().map(|record| self.log.xid(record)).collect();
        let same = |one: usize, other: usize| self.log.same(&records[one], &records[other]);
        let folded = fold(&xids, same);
        let mut records: Vec<Option<L::Record>> = records.into_iter().map(Some).collect();
        let mut answers: Vec<Option<Answer>> = vec![None; records.len()];
        let mut parked: HashMap<Xid, Answer> = HashMap::new();
        for wave in &folded.waves {
            // Whose earlier record is parked stays behind it.
            let (behind, wave): (Vec<usize>, Vec<usize>) = wave
                .iter()
                .partition(|&&place| parked.contains_key(&xids[place]));
            for place in behind {
                answers[place] = parked.get(&xids[place]).cloned();
            }
            if wave.is_empty() {
                continue;
            }
            meter::batch("records", wave.len());
            let taken = wave.iter().filter_map(|&place| records[place].take());
            let mut batch = Batch::of_records(&self.log, taken);
            self.drive(&mut batch).await;
            let mut places: Vec<(Xid, usize)> =
                wave.iter().map(|&place| (xids[place], place)).collect();
            places.sort_unstable();
            for flight in batch.flights {
                if let Ok(found) = places.binary_search_by_key(&flight.xid, |(xid, _)| *xid) {
                    let answer = answer_of(flight);
                    if matches!(answer, Answer::Parked { .. }) {
                        parked.insert(places[found].0, answer.clone());
                    }
                    answers[places[found].1] = Some(answer);
                }
            }
        }
        let answer = |&place: &usize| answers[place].clone().unwrap_or_else(unanswered);
        folded
            .stands_for
            .iter()
            .map(answer)
            .inspect(meter::answered)
            .collect()
    }

    /// Goes on with what a sweeper has leased.
    pub(crate) async fn take_over(&self, page: Vec<Claimed<L::Record>>) -> Vec<Answer> {
        meter::batch("sweep", page.len());
        let mut batch = Batch::of_claimed(&self.log, page);
        self.drive(&mut batch).await;
        self.tell_stuck(&batch);
        batch
            .flights
            .into_iter()
            .map(answer_of)
            .inspect(meter::answered)
            .collect()
    }

    async fn drive(&self, batch: &mut Batch<L::Record, L::Payload>) {
        self.log_round(batch).await;
        self.faults.point("after-log").await;
        self.try_round(batch).await;
        self.faults.point("after-try").await;
        self.decide_round(batch).await;
        self.faults.point("after-decide").await;
        self.finish_round(batch).await;
        self.faults.point("after-finish").await;
        self.end_round(batch).await;
        self.faults.point("after-end").await;
        self.raise_alarms(batch);
        self.postpone_rest(batch).await;
    }

    /// Logs what a person has to look at: at once, and again each time that the attempts double.
    fn raise_alarms(&self, batch: &Batch<L::Record, L::Payload>) {
        for flight in &batch.flights {
            let is_time = flight.attempts == 0 || flight.attempts.is_power_of_two();
            if let Some(alarm) = &flight.alarm {
                meter::alarm(alarm.kind);
                if is_time {
                    tracing::error!(xid = %flight.xid, kind = alarm.kind, cause = alarm.cause,
                        attempts = flight.attempts, "a global transaction needs a person");
                }
            }
        }
    }

    /// Logs what has become stuck by this attempt. The log counts an attempt at each lease, so one
    /// lease alone is the one that makes it so; should its worker die here, the gauge still tells.
    fn tell_stuck(&self, batch: &Batch<L::Record, L::Payload>) {
        for flight in &batch.flights {
            let attempts = flight.attempts.saturating_add(1);
            if let Stage::Over(Answer::Waiting { cause }) = &flight.stage
                && attempts == self.settings.stuck_after_attempts
            {
                meter::alarm("stuck");
                tracing::error!(xid = %flight.xid, attempts, cause,
                    "a global transaction is stuck");
            }
        }
    }
}

/// Times a round.
pub(crate) fn timed(name: &'static str, since: Instant) {
    meter::round(name, since.elapsed());
}

fn answer_of<P>(flight: Flight<P>) -> Answer {
    match flight.stage {
        Stage::Over(answer) => answer,
        Stage::Log => unanswered(),
        stage @ (Stage::Try
        | Stage::Decide(_)
        | Stage::Reread
        | Stage::Finish(_)
        | Stage::End(_)) => Answer::Waiting {
            cause: format!("left in {stage:?}"),
        },
    }
}

/// A record that no wave ran: it is as it was.
fn unanswered() -> Answer {
    Answer::Parked {
        cause: "not run".to_owned(),
        shard_away: false,
    }
}
