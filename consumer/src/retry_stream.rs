//! What comes back from the retry topic, beside the partitions that are ours.
//!
//! Its reader is no member of a group: the worker tells which partitions are ours, and commits go
//! to a group of the same name with `-retry` behind it. A late commit of an earlier owner can only
//! have records come back once more, which is harmless.

use crate::detours::PartOffset;
use crate::record::Record;
use crate::retry_poller::Poller;
use crate::retry_rooms::RetryRooms;
use crate::retry_topic::RetryParts;
use crate::settings::WorkerSettings;
use crate::stream::client_config;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::{Partition as StatisticsPartition, Statistics};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use saga::ShardId;
use service::kafka::KafkaSettings;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// What the thread tells the worker.
#[derive(Debug)]
pub enum Returned {
    /// Where the parts beside a partition of this generation are read from, and where they end.
    Known {
        /// The partition of the commands' topic.
        partition: i32,
        /// Of its assignment.
        generation: u64,
        /// Each part's next offset and end.
        parts: Vec<(ShardId, i64, i64)>,
    },
    /// A record came back. The permit is the room it takes until its outcome is durable.
    Record(Record, OwnedSemaphorePermit),
    /// The last commit of each of these parts that the broker acknowledged, heard now and then.
    Committed(Vec<PartOffset>),
    /// An error that the client gets over by itself.
    Passing(String),
    /// An error that the client does not get over: the worker ends.
    Fatal(String),
}

/// Which partitions are ours.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// This one is, under this generation.
    Ours(i32, u64),
    /// This one is no longer.
    NotOurs(i32),
}

/// What comes back beside the partitions that are ours.
pub struct RetryStream {
    topic: String,
    parts: RetryParts,
    events: UnboundedReceiver<Returned>,
    changes: Sender<Change>,
    rooms: RetryRooms,
    /// Weak, so that the polling thread is the one to close the consumer.
    consumer: Weak<BaseConsumer<Context>>,
    stop: CancellationToken,
}

impl RetryStream {
    /// Reads nothing yet.
    pub fn open(
        kafka: &KafkaSettings,
        settings: &WorkerSettings,
        parts: RetryParts,
    ) -> Result<Self, KafkaError> {
        let (sender, events) = unbounded_channel();
        let (changes, changed) = channel();
        let mut config = client_config(kafka, settings);
        config.set("group.id", settings.retry_group_id()).set(
            "queued.max.messages.kbytes",
            settings.retry_room_kib_max.to_string(),
        );
        let topic = kafka.retry_topic.clone();
        let context = Context {
            topic: topic.clone(),
            parts,
            events: sender,
        };
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(config.create_with_context(context)?);
        let stop = CancellationToken::new();
        let (stopped, weak) = (stop.clone(), Arc::downgrade(&consumer));
        let rooms = RetryRooms::new(parts.shards, settings.retry_room_kib_max);
        let poller = Poller::new(consumer, topic.clone(), parts, changed, rooms.clone());
        std::thread::Builder::new()
            .name("kafka-retry".to_owned())
            .spawn(move || poller.run(&stopped))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            topic,
            parts,
            events,
            changes,
            rooms,
            consumer: weak,
            stop,
        })
    }

    /// The next event; `None` once the consumer is closed.
    pub async fn next(&mut self) -> Option<Returned> {
        self.events.recv().await
    }

    /// The next event, if one is there.
    pub fn next_if_there(&mut self) -> Option<Returned> {
        self.events.try_recv().ok()
    }

    /// KiB of records that came back and have no outcome yet.
    pub fn room_taken_kib(&self) -> usize {
        self.rooms.taken_kib()
    }

    /// From now on the parts beside this partition are ours.
    pub fn assign(&self, partition: i32, generation: u64) {
        // The thread is gone only when the events have ended, which the worker notices.
        let _ = self.changes.send(Change::Ours(partition, generation));
    }

    /// No longer ours.
    pub fn unassign(&self, partition: i32) {
        let _ = self.changes.send(Change::NotOurs(partition));
    }

    /// Starts a commit; [`Returned::Committed`] tells what became of it.
    pub fn commit(&self, offsets: &[PartOffset]) {
        let Some(consumer) = self.consumer.upgrade().filter(|_| !offsets.is_empty()) else {
            return;
        };
        let offsets = offsets.iter();
        let numbered = offsets.map(|at| (self.parts.number(at.partition, at.shard), at.offset));
        let list = offset_list(&self.topic, numbered);
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::warn!(%error, "A commit of offsets of the retry topic could not be started.");
        }
    }

    /// Ends the reading; what was committed gets through first.
    pub async fn close(mut self) {
        self.stop.cancel();
        while self.events.recv().await.is_some() {}
    }
}

impl Drop for RetryStream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn offset_list(
    topic: &str,
    offsets: impl Iterator<Item = (i32, i64)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (number, offset) in offsets {
        // An error would mean an offset below 0, which no record has.
        let _ = list.add_partition_offset(topic, number, Offset::Offset(offset));
    }
    list
}

/// Turns callbacks into events.
pub(crate) struct Context {
    topic: String,
    parts: RetryParts,
    events: UnboundedSender<Returned>,
}

impl Context {
    /// Tells the worker. When it is gone nobody needs to know.
    pub(crate) fn tell(&self, event: Returned) {
        let _ = self.events.send(event);
    }
}

impl ConsumerContext for Context {}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let topic = statistics.topics.get(&self.topic);
        let numbers = topic
            .into_iter()
            .flat_map(|topic| topic.partitions.values());
        let commit = |part: &StatisticsPartition| {
            let (partition, shard) = self.parts.part(part.partition);
            PartOffset {
                partition,
                shard,
                offset: part.committed_offset,
            }
        };
        let known = numbers.filter(|part| part.partition >= 0);
        self.tell(Returned::Committed(known.map(commit).collect()));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.tell(Returned::Passing(format!("{error}: {reason}")));
    }
}
