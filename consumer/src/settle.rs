//! What the worker does with the answers of a batch, and with orders that cannot be tried yet.

use crate::batches::{Ended, Lane, Work};
use crate::decode::{Cause, CauseClass};
use crate::meters;
use crate::record::{Place, Source};
use crate::wake::Wakes;
use crate::worker::Worker;
use saga::{Answer, ShardId};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

impl Worker {
    /// Acts on every answer of a batch.
    pub(crate) fn settle(&mut self, ended: Ended) {
        let Ended { batch, answers } = ended;
        let tried = batch.orders();
        let answers = match answers {
            Ok(answers) => {
                self.report_shards(&batch.works, &answers);
                answers
            }
            Err(cause) => {
                tracing::error!(
                    cause,
                    orders = tried.len(),
                    "A batch was given up; its orders are tried again."
                );
                let parked = Answer::Parked {
                    cause,
                    shard_away: false,
                };
                vec![parked; tried.len()]
            }
        };
        let mut wakes = Wakes::new();
        for (mut work, answer) in batch.works.into_iter().zip(answers) {
            if let (Answer::Done { .. }, Some(instance)) = (&answer, work.wake.take()) {
                wakes.entry(instance).or_default().push(work.order.id);
            }
            self.settle_one(work, answer);
        }
        self.waker.wake(wakes);
        match batch.lane {
            Lane::Partitions(busy) => self.partitions.release(&busy),
            Lane::Retry(shard) => self.parked.retried(shard, &tried, Instant::now()),
        }
    }

    fn settle_one(&mut self, work: Work, answer: Answer) {
        let place = work.record.place;
        if !self.partitions.owns(place) {
            // Its next owner gets the record again, and from the log the same answer.
            return;
        }
        match answer {
            Answer::Done { .. } => {
                meters::answer("done");
                self.done(place);
            }
            Answer::Waiting { cause } => {
                meters::answer("waiting");
                tracing::debug!(order.id = %work.order.id, cause, "An order is logged and waits for the sweeper.");
                self.done(place);
            }
            Answer::Parked { cause, .. } => {
                meters::answer("parked");
                tracing::debug!(order.id = %work.order.id, cause, "An order is parked: it could not be logged.");
                self.shard_causes.insert(work.shard, cause);
                self.park(work);
            }
            Answer::Dead { cause } => {
                meters::answer("dead");
                let cause = Cause {
                    class: CauseClass::Refused,
                    text: cause,
                };
                self.burials.start(work.record, cause, work.room);
            }
        }
    }

    fn park(&mut self, work: Work) {
        let work = self.move_to_parking(work);
        let (order, place) = ((work.order.id, work.shard), work.record.place);
        let (turn, when) = (
            (place.source, place.offset),
            (Instant::now(), rand::random()),
        );
        self.parked.park_failed(order, turn, work, when);
    }

    /// Tells which order shards the batch reached.
    fn report_shards(&mut self, works: &[Work], answers: &[Answer]) {
        let mut reached: BTreeMap<ShardId, bool> = BTreeMap::new();
        for (work, answer) in works.iter().zip(answers) {
            let away = matches!(
                answer,
                Answer::Parked {
                    shard_away: true,
                    ..
                }
            );
            *reached.entry(work.shard).or_default() |= !away;
        }
        for (shard, reached) in reached {
            let when = (Instant::now(), rand::random());
            if self.parked.report(shard, reached, when) {
                let state = if reached {
                    "is reached again"
                } else {
                    "cannot be reached; its orders are parked"
                };
                tracing::warn!(shard = shard.0, "An order shard {state}.");
            }
        }
    }

    pub(crate) fn done(&mut self, place: Place) {
        self.partitions.done(place);
        self.commit_soon();
    }

    /// Frees the room in hand if there is room among the parked. What came back keeps its own: that
    /// bounds how much comes back.
    pub(crate) fn move_to_parking(&self, mut work: Work) -> Work {
        match work.record.place.source {
            Source::Commands => work.room = self.parking_for(work.room),
            Source::Retry(_) => {}
        }
        work
    }

    pub(crate) fn parking_for(&self, room: OwnedSemaphorePermit) -> OwnedSemaphorePermit {
        let size = u32::try_from(room.num_permits()).unwrap_or(u32::MAX);
        let parking = self.parking.clone().try_acquire_many_owned(size);
        parking.unwrap_or(room)
    }
}
