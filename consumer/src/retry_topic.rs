//! The retry topic: where records wait whose order shard cannot be reached for longer than memory
//! holds them.
//!
//! It has a part for each partition of the commands' topic and each order shard, so that each part
//! is a queue of its own: a part whose shard is shut waits as a whole and delays no other, and
//! nothing is ever put back behind others, so an order's records keep their order.

use crate::backoff::Backoff;
use crate::batches::Work;
use crate::meters;
use crate::origin::{Origin, copied_headers};
use futures_util::future::join_all;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
pub use saga::ShardId;
use service::kafka::KafkaSettings;
use std::time::Duration;

/// What was said at the last try of its shard.
const CAUSE: &str = "retry-cause";
/// How often it was tried before it was put here.
const ATTEMPTS: &str = "retry-attempts";
const OURS: [&str; 2] = [CAUSE, ATTEMPTS];
const CAUSE_CHARS_MAX: usize = 500;
const AGAIN: Backoff = Backoff {
    min_ms: 200,
    max_ms: 5_000,
};

/// The topic's parts and their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryParts {
    /// Partitions of the commands' topic.
    pub partitions: u16,
    /// How many order shards there are.
    pub shards: u16,
}

impl RetryParts {
    /// How many partitions the topic has.
    pub fn count(self) -> i32 {
        i32::from(self.partitions) * i32::from(self.shards)
    }

    /// The partition of a part. A new shard's parts come after all others.
    pub fn number(self, partition: i32, shard: ShardId) -> i32 {
        i32::from(shard.0) * i32::from(self.partitions) + partition
    }

    /// Which part a partition is.
    pub fn part(self, number: i32) -> (i32, ShardId) {
        let partitions = i32::from(self.partitions);
        let shard = u16::try_from(number / partitions).unwrap_or(u16::MAX);
        (number % partitions, ShardId(shard))
    }

    /// Its parts beside one partition of the commands' topic.
    pub fn beside(self, partition: i32) -> impl Iterator<Item = (ShardId, i32)> {
        let shards = (0..self.shards).map(ShardId);
        shards.map(move |shard| (shard, self.number(partition, shard)))
    }
}

/// A record on its way to the retry topic.
#[derive(Debug)]
pub struct Moving {
    /// The record and what it holds.
    pub work: Work,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was not tried with success.
    pub cause: String,
}

/// Puts records on the retry topic. Cloning shares it.
#[derive(Clone)]
pub struct RetryTopic {
    producer: FutureProducer,
    topic: String,
    commands_topic: String,
    parts: RetryParts,
}

impl RetryTopic {
    /// By this producer.
    pub fn new(producer: FutureProducer, kafka: &KafkaSettings, parts: RetryParts) -> Self {
        Self {
            producer,
            topic: kafka.retry_topic.clone(),
            commands_topic: kafka.commands_topic.clone(),
            parts,
        }
    }

    /// Sends all, at once; returns when the broker has acknowledged every one, and tries until
    /// then. Answers their offsets.
    pub async fn put(&self, set: &[Moving]) -> Vec<i64> {
        let mut offsets: Vec<Option<i64>> = vec![None; set.len()];
        let mut failures = 0;
        loop {
            let open = offsets
                .iter()
                .zip(set)
                .filter(|(offset, _)| offset.is_none());
            let sent = join_all(open.map(|(_, moving)| self.send(moving))).await;
            let (mut sent, mut error) = (sent.into_iter(), None);
            for offset in offsets.iter_mut().filter(|offset| offset.is_none()) {
                match sent.next() {
                    Some(Ok(acknowledged)) => *offset = Some(acknowledged),
                    Some(Err(cause)) => error = Some(cause),
                    None => {}
                }
            }
            let Some(error) = error else {
                return offsets.into_iter().flatten().collect();
            };
            failures += 1;
            meters::retry_put_failed();
            tracing::warn!(%error, "Records for the retry topic were not acknowledged; they are sent again.");
            tokio::time::sleep(AGAIN.delay(failures, rand::random())).await;
        }
    }

    async fn send(&self, moving: &Moving) -> Result<i64, KafkaError> {
        let (record, shard) = (&moving.work.record, moving.work.shard);
        let cause = moving.cause.chars().take(CAUSE_CHARS_MAX).collect();
        let mut ours = Origin::of(record).headers(&self.commands_topic).to_vec();
        ours.push((CAUSE, Some(cause)));
        ours.push((ATTEMPTS, Some(moving.attempts.to_string())));
        let number = self.parts.number(record.place.partition, shard);
        let mut copy = FutureRecord::<[u8], [u8]>::to(&self.topic)
            .partition(number)
            .headers(copied_headers(record, &OURS, &ours));
        copy.key = record.key.as_deref();
        copy.payload = record.value.as_deref();
        // The producer's own message.timeout.ms bounds the wait for the acknowledgement.
        let sent = self.producer.send(copy, Duration::from_secs(1)).await;
        sent.map(|delivery| delivery.offset)
            .map_err(|(error, _)| error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_number_and_a_new_shard_changes_none() {
        let (two, three) = (parts(2), parts(3));
        let mut numbers = Vec::new();
        for shard in (0..2).map(ShardId) {
            for partition in 0..12 {
                let number = two.number(partition, shard);
                assert_eq!(number, three.number(partition, shard));
                assert_eq!(two.part(number), (partition, shard));
                numbers.push(number);
            }
        }
        assert_eq!(numbers, (0..two.count()).collect::<Vec<_>>());
        let beside: Vec<_> = three.beside(5).map(|(_, number)| number).collect();
        assert_eq!(beside, [5, 17, 29]);
    }

    fn parts(shards: u16) -> RetryParts {
        RetryParts {
            partitions: 12,
            shards,
        }
    }
}
