//! The records on their way to the retry topic, in sets of which one is on its way at a time.
//!
//! A set holds at most one record of an order, and the next set goes only when all of this one are
//! acknowledged: so an order's records stand there in their order, whatever the client sends again.

use crate::record::Place;
use crate::retry_topic::{Moving, RetryTopic};
use saga::ShardId;
use saga::faults::Faults;
use std::collections::{HashSet, VecDeque};
use tokio::task::JoinSet;

/// A record that stands on the retry topic.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// Where it came from.
    pub place: Place,
    /// Its order shard.
    pub shard: ShardId,
    /// Its offset there.
    pub offset: i64,
}

/// What is on its way, and what goes next.
pub struct Moves {
    topic: RetryTopic,
    set_max: usize,
    faults: Faults,
    waiting: VecDeque<Moving>,
    running: JoinSet<Vec<Moved>>,
    /// From which partitions the set comes that is on its way.
    sending: HashSet<i32>,
}

impl Moves {
    /// None under way; at most `set_max` go together.
    pub fn new(topic: RetryTopic, set_max: usize, faults: Faults) -> Self {
        Self {
            topic,
            set_max,
            faults,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            sending: HashSet::new(),
        }
    }

    /// Sends the record in its turn; it takes its room until it is acknowledged.
    pub fn push(&mut self, moving: Moving) {
        self.waiting.push_back(moving);
    }

    /// Sends the next set, if none is on its way.
    pub fn start(&mut self) {
        if self.waiting.is_empty() || !self.running.is_empty() {
            return;
        }
        let set = next_set(&mut self.waiting, self.set_max);
        let places = set.iter().map(|moving| moving.work.record.place);
        self.sending = places.map(|place| place.partition).collect();
        let (topic, faults) = (self.topic.clone(), self.faults.clone());
        self.running.spawn(async move {
            let offsets = topic.put(&set).await;
            faults.point("after-retry-put").await;
            let moved = |(moving, offset): (Moving, i64)| Moved {
                place: moving.work.record.place,
                shard: moving.work.shard,
                offset,
            };
            set.into_iter().zip(offsets).map(moved).collect()
        });
    }

    /// The next set acknowledged; waits for ever while none is on its way.
    pub async fn next(&mut self) -> Vec<Moved> {
        loop {
            match self.running.join_next().await {
                Some(Ok(moved)) => return moved,
                // Their offsets stay open, so they are redelivered.
                Some(Err(error)) => {
                    tracing::error!(%error, "Records for the retry topic were lost on their way.")
                }
                None => return std::future::pending().await,
            }
        }
    }

    /// Forgets what was not sent from these partitions: it is redelivered.
    pub fn forget(&mut self, partitions: &[i32]) {
        let of = |moving: &Moving| moving.work.record.place.partition;
        self.waiting
            .retain(|moving| !partitions.contains(&of(moving)));
    }

    /// Whether something from this partition is on its way.
    pub fn sends_from(&self, partition: i32) -> bool {
        !self.running.is_empty() && self.sending.contains(&partition)
    }
}

fn next_set(waiting: &mut VecDeque<Moving>, max: usize) -> Vec<Moving> {
    let mut orders = HashSet::new();
    let fresh = |moving: &&Moving| orders.insert(moving.work.order.id);
    let count = waiting.iter().take(max).take_while(fresh).count();
    waiting.drain(..count).collect()
}
