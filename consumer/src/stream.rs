//! The polling thread: reads records and callbacks from Kafka and sends them as events.
//!
//! It polls whatever happens, so a slow database never costs the worker its partitions. How much the
//! worker has in hand is bounded by room: when there is none, the thread waits a moment, then
//! pauses the partitions and goes on polling until there is room again. Pausing throws away what
//! was fetched ahead, which is why it does not do so at once.

use crate::events::Event;
use crate::group::{Group, offset_list};
use crate::partitions::PartitionOffset;
use crate::record::{Place, Record, Source};
use crate::settings::WorkerSettings;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message};
use service::kafka::KafkaSettings;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a poll waits for something; also how soon the thread notices that it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// The callback waits a little longer than the worker promises to take.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The events of one member of the consumer group.
pub struct Stream {
    topic: String,
    events: UnboundedReceiver<Event>,
    /// Weak, so that the polling thread is the one to close the consumer.
    consumer: Weak<BaseConsumer<Group>>,
    room: Arc<Semaphore>,
    room_kib_max: u32,
    stop: CancellationToken,
}

impl Stream {
    /// Joins the group. Events begin to come at once.
    pub fn open(kafka: &KafkaSettings, settings: &WorkerSettings) -> Result<Self, KafkaError> {
        let (sender, events) = unbounded_channel();
        let topic = kafka.commands_topic.clone();
        let answer_wait = settings.revoke_wait() + ANSWER_GRACE;
        let group = Group::new(topic.clone(), sender, answer_wait);
        let consumer: BaseConsumer<Group> =
            client_config(kafka, settings).create_with_context(group)?;
        consumer.subscribe(&[&topic])?;
        let consumer = Arc::new(consumer);
        let stop = CancellationToken::new();
        let room = Arc::new(Semaphore::new(settings.room_kib_max as usize));
        let stream = Self {
            topic,
            events,
            consumer: Arc::downgrade(&consumer),
            room: Arc::clone(&room),
            room_kib_max: settings.room_kib_max,
            stop: stop.clone(),
        };
        let poller = Poller {
            consumer,
            room,
            room_kib_max: settings.room_kib_max,
            stall: Duration::from_millis(settings.stall_ms),
            runtime: Handle::current(),
            held: VecDeque::new(),
            paused: false,
        };
        std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poller.run(&stop))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(stream)
    }

    /// The next event; `None` once the consumer has left the group.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, if one is there.
    pub fn next_if_there(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Starts a commit; [`Event::Committed`] tells what became of it.
    pub fn commit(&self, offsets: &[PartitionOffset]) {
        let Some(consumer) = self.consumer.upgrade() else {
            return;
        };
        let list = offset_list(&self.topic, offsets);
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::warn!(%error, "A commit of offsets could not be started.");
        }
    }

    /// KiB of records that were read and have no outcome yet.
    pub fn room_taken_kib(&self) -> usize {
        self.room_kib_max as usize - self.room.available_permits()
    }

    /// Leaves the group: revokes what is assigned, as a rebalance would, then ends.
    pub fn close(&self) {
        self.stop.cancel();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn client_config(kafka: &KafkaSettings, settings: &WorkerSettings) -> ClientConfig {
    let mut config = kafka.client_config();
    let mut set = |name: &str, value: String| {
        config.set(name, value);
    };
    set("group.id", settings.group_id.clone());
    set("partition.assignment.strategy", "cooperative-sticky".into());
    set("enable.auto.commit", "false".into());
    set("enable.auto.offset.store", "false".into());
    set("auto.offset.reset", "earliest".into());
    set(
        "session.timeout.ms",
        settings.session_timeout_ms.to_string(),
    );
    set(
        "heartbeat.interval.ms",
        settings.heartbeat_interval_ms.to_string(),
    );
    set(
        "max.poll.interval.ms",
        settings.max_poll_interval_ms.to_string(),
    );
    set(
        "queued.max.messages.kbytes",
        settings.fetch_ahead_kib_max.to_string(),
    );
    let partition_bytes = settings.fetch_partition_kib_max * 1024;
    set("fetch.message.max.bytes", partition_bytes.to_string());
    // A queue that was full is filled again soon, not after the default second.
    set("fetch.queue.backoff.ms", "10".into());
    set("socket.nagle.disable", "true".into());
    set("statistics.interval.ms", "1000".into());
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

struct Poller {
    consumer: Arc<BaseConsumer<Group>>,
    room: Arc<Semaphore>,
    room_kib_max: u32,
    stall: Duration,
    runtime: Handle,
    /// Records read for which there was no room; the partitions are paused meanwhile.
    held: VecDeque<Record>,
    paused: bool,
}

impl Poller {
    fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.poll();
            self.send_held();
        }
        // Dropping the consumer revokes what is assigned and leaves the group.
    }

    fn poll(&mut self) {
        let record = match self.consumer.poll(POLL) {
            None => None,
            Some(Ok(message)) => {
                let generation = self.consumer.context().generation_of(message.partition());
                generation.map(|generation| {
                    let place = Place {
                        partition: message.partition(),
                        generation,
                        source: Source::Commands,
                        offset: message.offset(),
                    };
                    Record::copy_of(&message, place)
                })
            }
            Some(Err(error)) => {
                self.consumer.context().tell(match error {
                    KafkaError::MessageConsumptionFatal(code) => Event::Fatal(code.to_string()),
                    error => Event::Passing(error.to_string()),
                });
                None
            }
        };
        match record {
            Some(record) if self.held.is_empty() => self.offer(record),
            Some(record) => self.hold(record),
            None => {}
        }
    }

    fn offer(&mut self, record: Record) {
        match self.room_for(&record, self.stall) {
            Some(room) => self.consumer.context().tell(Event::Record(record, room)),
            None => self.hold(record),
        }
    }

    /// Waits at most `wait` for room.
    fn room_for(&self, record: &Record, wait: Duration) -> Option<OwnedSemaphorePermit> {
        let size = record.size_kib().min(self.room_kib_max);
        if let Ok(room) = self.room.clone().try_acquire_many_owned(size) {
            return Some(room);
        }
        if wait.is_zero() {
            return None;
        }
        let acquired = self.room.clone().acquire_many_owned(size);
        let acquired = self
            .runtime
            .block_on(async { tokio::time::timeout(wait, acquired).await });
        acquired.ok()?.ok()
    }

    /// Keeps the record and pauses: also whatever was assigned since, or it would not come here.
    fn hold(&mut self, record: Record) {
        self.held.push_back(record);
        if !self.paused {
            tracing::info!("The worker has its hands full; its partitions are paused.");
        }
        self.paused = true;
        if let Err(error) = self
            .consumer
            .pause(&self.consumer.context().assigned_list())
        {
            tracing::warn!(%error, "The partitions could not be paused.");
        }
    }

    fn send_held(&mut self) {
        while let Some(record) = self.held.pop_front() {
            let place = record.place;
            if self.consumer.context().generation_of(place.partition) != Some(place.generation) {
                continue;
            }
            match self.room_for(&record, Duration::ZERO) {
                Some(room) => self.consumer.context().tell(Event::Record(record, room)),
                None => {
                    self.held.push_front(record);
                    return;
                }
            }
        }
        if self.paused {
            self.paused = false;
            if let Err(error) = self
                .consumer
                .resume(&self.consumer.context().assigned_list())
            {
                tracing::warn!(%error, "The partitions could not be resumed.");
            }
        }
    }
}
