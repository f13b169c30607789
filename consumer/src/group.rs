//! The Kafka client's callbacks, each turned into an [`Event`].
//!
//! They run on the polling thread, inside its poll. The client's partition lists are copied to plain
//! values at once and none is kept: a live one makes closing the consumer hang.

use crate::events::Event;
use crate::meters;
use crate::partitions::PartitionOffset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Turns callbacks into events, and knows under which generation each partition is ours.
pub struct Group {
    topic: String,
    events: UnboundedSender<Event>,
    /// How long a revocation waits for the worker's answer.
    answer_wait: Duration,
    assigned: Mutex<Assigned>,
}

#[derive(Debug, Default)]
struct Assigned {
    generation: u64,
    by_partition: HashMap<i32, u64>,
}

impl Group {
    /// For this topic; events go to `events`.
    pub fn new(topic: String, events: UnboundedSender<Event>, answer_wait: Duration) -> Self {
        Self {
            topic,
            events,
            answer_wait,
            assigned: Mutex::default(),
        }
    }

    /// Tells the worker. When it is gone nobody needs to know.
    pub fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Under which generation this partition is ours.
    pub fn generation_of(&self, partition: i32) -> Option<u64> {
        self.lock().by_partition.get(&partition).copied()
    }

    /// Our partitions as the client wants them, for one call.
    pub fn assigned_list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in self.lock().by_partition.keys() {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    fn assign(&self, partitions: Vec<i32>) {
        let mut assigned = self.lock();
        assigned.generation += 1;
        let generation = assigned.generation;
        let ours = partitions.iter().map(|number| (*number, generation));
        assigned.by_partition.extend(ours);
        drop(assigned);
        tracing::info!(?partitions, generation, "Partitions were assigned.");
        self.tell(Event::Assigned {
            partitions,
            generation,
        });
    }

    /// Waits for the worker to let go, and commits what it answers.
    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: Vec<i32>) {
        if partitions.is_empty() {
            return;
        }
        let lost = consumer.assignment_lost();
        tracing::info!(?partitions, lost, "Partitions go away.");
        self.lock()
            .by_partition
            .retain(|number, _| !partitions.contains(number));
        let (answer, answered) = sync_channel(1);
        self.tell(Event::Revoked { partitions, answer });
        let Ok(offsets) = answered.recv_timeout(self.answer_wait) else {
            tracing::warn!(
                "The worker did not let go in time; what it had in hand is redelivered."
            );
            return;
        };
        if offsets.is_empty() || lost {
            return;
        }
        let list = offset_list(&self.topic, &offsets);
        if let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            tracing::warn!(%error, "The last offsets were not committed; their records are redelivered.");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Assigned> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Offsets as the client wants them, for one call.
pub fn offset_list(topic: &str, offsets: &[PartitionOffset]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        // An error would mean an offset below 0, which no record has.
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
    }
    list
}

fn numbers_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|e| e.partition()).collect()
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                meters::rebalanced("assigned");
                // The client remembers a pause from when they were ours before.
                let _ = consumer.resume(list);
                self.assign(numbers_of(list));
            }
            Rebalance::Revoke(list) => {
                meters::rebalanced("revoked");
                self.revoke(consumer, numbers_of(list));
            }
            Rebalance::Error(error) => self.tell(Event::Passing(error.to_string())),
        }
    }
}

impl ClientContext for Group {
    fn stats(&self, statistics: Statistics) {
        let topic = statistics.topics.get(&self.topic);
        let partitions = topic
            .into_iter()
            .flat_map(|topic| topic.partitions.values());
        let ours = |number| self.generation_of(number).is_some();
        let mut committed = Vec::new();
        for partition in partitions.filter(|partition| ours(partition.partition)) {
            if partition.consumer_lag >= 0 {
                meters::lag(partition.partition, partition.consumer_lag);
            }
            committed.push((partition.partition, partition.committed_offset));
        }
        self.tell(Event::Committed(committed));
        let Some(group) = statistics.cgrp else {
            return;
        };
        let steady = group.state == "up" && group.join_state == "steady";
        self.tell(Event::Group(if steady {
            Ok(())
        } else {
            Err(format!("{}, {}", group.state, group.join_state))
        }));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.tell(Event::Passing(format!("{error}: {reason}")));
    }
}
