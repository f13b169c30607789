//! The thread that reads the retry topic.
//!
//! What it hands out is bounded by room, of which each order shard has its own. So a shard that is
//! shut has its parts paused as soon as its room is full of records that wait for it, and no other
//! shard notices. Nothing of it is read, nor asked for, until some of them have ended.

use crate::record::{Place, Record, Source};
use crate::retry_rooms::RetryRooms;
use crate::retry_stream::{Change, Context, Returned, offset_list};
use crate::retry_topic::RetryParts;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Message, Offset, TopicPartitionList};
use saga::ShardId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a poll waits for something; also how soon a change of what is ours is noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long the broker may take to say where the parts stand, and the pause before it is asked again.
const ASK: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long parts are paused at least, unless much room comes free.
const PAUSE: Duration = Duration::from_millis(200);

/// Reads, and hands out what there is room for.
pub(crate) struct Poller {
    consumer: Arc<BaseConsumer<Context>>,
    topic: String,
    parts: RetryParts,
    changed: Receiver<Change>,
    /// Our partitions, each with its generation, that are being read.
    ours: BTreeMap<i32, u64>,
    /// Ours too, but it is not known yet where their parts stand; the next to ask about first.
    unknown: VecDeque<(i32, u64)>,
    ask_at: Option<Instant>,
    rooms: RetryRooms,
    /// Records read for which their shard has no room; its parts are paused meanwhile.
    held: BTreeMap<ShardId, Held>,
}

struct Held {
    records: VecDeque<Record>,
    since: Instant,
}

impl Poller {
    /// Reads nothing until `changed` says so.
    pub fn new(
        consumer: Arc<BaseConsumer<Context>>,
        topic: String,
        parts: RetryParts,
        changed: Receiver<Change>,
        rooms: RetryRooms,
    ) -> Self {
        Self {
            consumer,
            topic,
            parts,
            changed,
            ours: BTreeMap::new(),
            unknown: VecDeque::new(),
            ask_at: None,
            rooms,
            held: BTreeMap::new(),
        }
    }

    /// Reads until it is to stop; then the consumer is closed.
    pub fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            while let Ok(change) = self.changed.try_recv() {
                self.change(change);
            }
            self.read_what_is_known();
            self.send_held();
            self.poll();
        }
    }

    fn change(&mut self, change: Change) {
        let number = match change {
            Change::Ours(number, _) | Change::NotOurs(number) => number,
        };
        self.unknown.retain(|(unknown, _)| *unknown != number);
        if self.ours.remove(&number).is_some() {
            let mut list = TopicPartitionList::new();
            for (_, part) in self.parts.beside(number) {
                list.add_partition(&self.topic, part);
            }
            self.passing(self.consumer.incremental_unassign(&list));
        }
        for held in self.held.values_mut() {
            held.records
                .retain(|record| record.place.partition != number);
        }
        if let Change::Ours(_, generation) = change {
            self.unknown.push_back((number, generation));
        }
    }

    fn read_what_is_known(&mut self) {
        if self.unknown.is_empty() || self.ask_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.ask_at = None;
        while let Some((partition, generation)) = self.unknown.pop_front() {
            let began = self.stand(partition).and_then(|parts| {
                let beside = parts.iter();
                let beside =
                    beside.map(|(shard, next, _)| (self.parts.number(partition, *shard), *next));
                let list = offset_list(&self.topic, beside);
                // The client remembers a pause from when they were ours before; what it does not
                // know yet cannot be paused.
                let _ = self.consumer.resume(&list);
                self.consumer.incremental_assign(&list)?;
                Ok(parts)
            });
            match began {
                Ok(parts) => {
                    self.ours.insert(partition, generation);
                    self.pause_what_is_held();
                    self.consumer.context().tell(Returned::Known {
                        partition,
                        generation,
                        parts,
                    });
                }
                Err(error) => {
                    // The others first: it may be its own broker that is away.
                    self.unknown.push_back((partition, generation));
                    self.ask_at = Some(Instant::now() + ASK_AGAIN);
                    return self.passing(Err(error));
                }
            }
        }
    }

    /// From where the parts beside a partition have to be read, and where they end.
    fn stand(&self, partition: i32) -> KafkaResult<Vec<(ShardId, i64, i64)>> {
        let mut asked = TopicPartitionList::new();
        for (_, part) in self.parts.beside(partition) {
            asked.add_partition(&self.topic, part);
        }
        let committed = self.consumer.committed_offsets(asked, ASK)?;
        let stand = |(shard, part)| {
            let (low, end) = self.consumer.fetch_watermarks(&self.topic, part, ASK)?;
            let committed = committed.find_partition(&self.topic, part);
            if let Some(found) = &committed {
                found.error()?;
            }
            let next = match committed.map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => offset.clamp(low, end),
                _ => low,
            };
            Ok((shard, next, end))
        };
        self.parts.beside(partition).map(stand).collect()
    }

    fn poll(&mut self) {
        let (shard, record) = match self.consumer.poll(POLL) {
            None => return,
            Some(Ok(message)) => {
                let (partition, shard) = self.parts.part(message.partition());
                let Some(generation) = self.ours.get(&partition) else {
                    return;
                };
                let place = Place {
                    partition,
                    generation: *generation,
                    source: Source::Retry(shard),
                    offset: message.offset(),
                };
                (shard, Record::copy_of(&message, place))
            }
            Some(Err(error)) => {
                return self.consumer.context().tell(match error {
                    KafkaError::MessageConsumptionFatal(code) => Returned::Fatal(code.to_string()),
                    error => Returned::Passing(error.to_string()),
                });
            }
        };
        self.offer(shard, record);
    }

    fn offer(&mut self, shard: ShardId, record: Record) {
        if let Some(held) = self.held.get_mut(&shard) {
            held.records.push_back(record);
        } else if let Some(room) = self.rooms.take(shard, &record) {
            self.consumer.context().tell(Returned::Record(record, room));
        } else {
            let held = Held {
                records: VecDeque::from([record]),
                since: Instant::now(),
            };
            self.held.insert(shard, held);
            self.pause(shard, true);
        }
    }

    /// Hands out what was held, once there is much room, or some for long; then its shard's parts
    /// are read again. Pausing throws away what was fetched ahead, so it is not done often.
    fn send_held(&mut self) {
        for (shard, mut held) in std::mem::take(&mut self.held) {
            if self.rooms.has_much(shard) || held.since.elapsed() > PAUSE {
                while let Some(record) = held.records.pop_front() {
                    let Some(room) = self.rooms.take(shard, &record) else {
                        held.records.push_front(record);
                        break;
                    };
                    self.consumer.context().tell(Returned::Record(record, room));
                }
            }
            if held.records.is_empty() {
                self.pause(shard, false);
            } else {
                self.held.insert(shard, held);
            }
        }
    }

    /// Parts that were added while their shard is paused are paused as well.
    fn pause_what_is_held(&self) {
        for shard in self.held.keys() {
            self.pause(*shard, true);
        }
    }

    fn pause(&self, shard: ShardId, paused: bool) {
        let mut list = TopicPartitionList::new();
        for partition in self.ours.keys() {
            list.add_partition(&self.topic, self.parts.number(*partition, shard));
        }
        let done = if paused {
            self.consumer.pause(&list)
        } else {
            self.consumer.resume(&list)
        };
        self.passing(done);
    }

    fn passing(&self, result: KafkaResult<()>) {
        if let Err(error) = result {
            self.consumer
                .context()
                .tell(Returned::Passing(error.to_string()));
        }
    }
}
