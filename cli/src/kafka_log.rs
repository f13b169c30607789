//! What an operator asks Kafka: where each partition stands, and which records it holds.
//!
//! The client of rdkafka blocks, so everything here runs on a thread for blocking work. A list of
//! partitions that it hands out must be gone before its consumer is, or dropping the consumer hangs:
//! each is copied into plain values at once.

use domain::headers;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaSettings;
use std::time::{Duration, Instant};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a scan waits for the next record.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(200);

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Which one.
    pub partition: i32,
    /// The oldest offset kept.
    pub low: i64,
    /// The offset after the newest record.
    pub high: i64,
    /// What the group has committed, if anything.
    pub committed: Option<i64>,
}

impl PartitionState {
    /// How many records the group has not yet dealt with.
    pub fn lag(&self) -> i64 {
        self.high - self.committed.unwrap_or(self.low).max(self.low)
    }
}

/// A part of a partition: offsets from `from` up to but not including `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Which partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

impl Span {
    /// All that a partition keeps.
    pub fn whole(state: &PartitionState) -> Self {
        Self {
            partition: state.partition,
            from: state.low,
            to: state.high,
        }
    }
}

/// What is kept of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
    /// Its key as text; empty when there is none.
    pub key: String,
    /// When it was written, in Unix milliseconds.
    pub timestamp_ms: Option<i64>,
    /// Its headers as text.
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// The text of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kept = message.headers().into_iter().flat_map(Headers::iter);
        let kept = kept.filter(|header| header.key != headers::TRACEPARENT);
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(text).unwrap_or_default(),
            timestamp_ms: message.timestamp().to_millis(),
            headers: kept
                .map(|header| {
                    let value = header.value.map(text).unwrap_or_default();
                    (header.key.to_owned(), value)
                })
                .collect(),
        }
    }
}

/// Why Kafka did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not reached, or refused.
    #[error("kafka does not answer: {0}")]
    Kafka(#[from] KafkaError),
    /// There is no such topic.
    #[error("kafka has no topic {0}")]
    NoTopic(String),
    /// The topic has fewer partitions than it should.
    #[error("kafka has no partition {0} of the topic")]
    NoPartition(i32),
    /// It stopped sending.
    #[error("kafka sent no record of {0} for {SILENCE_MAX:?}")]
    Silent(String),
}

/// One topic, seen through the eyes of one group.
pub struct KafkaLog {
    topic: String,
    consumer: BaseConsumer,
}

impl KafkaLog {
    /// Looks at `topic` and at what `group` has committed there. It never joins the group, and
    /// commits nothing.
    pub fn open(settings: &KafkaSettings, topic: &str, group: &str) -> Result<Self, LogError> {
        let consumer = settings
            .client_config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", "16384")
            .create()?;
        Ok(Self {
            topic: topic.to_owned(),
            consumer,
        })
    }

    /// Where each partition stands.
    pub fn partitions(&self) -> Result<Vec<PartitionState>, LogError> {
        let count = self.partition_count()?;
        let committed = self.committed(count)?;
        let state = |(partition, committed)| {
            let (low, high) =
                self.consumer
                    .fetch_watermarks(&self.topic, partition, ANSWER_TIMEOUT)?;
            Ok(PartitionState {
                partition,
                low,
                high,
                committed,
            })
        };
        (0..).zip(committed).map(state).collect()
    }

    /// Where each partition stood at this instant (Unix milliseconds): the offset of the first
    /// record written since, or none when there is none.
    pub fn offset_at(&self, partition: i32, unix_ms: i64) -> Result<Option<i64>, LogError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&self.topic, partition, Offset::Offset(unix_ms))?;
        let answered = self.consumer.offsets_for_times(asked, ANSWER_TIMEOUT)?;
        let found = answered.find_partition(&self.topic, partition);
        Ok(found.and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Reads these spans to their ends, each record once, until all are read (`true`) or `each` has
    /// answered `false`.
    pub fn scan(
        &self,
        spans: &[Span],
        mut each: impl FnMut(Record) -> bool,
    ) -> Result<bool, LogError> {
        self.scan_whole(spans, |message| each(Record::of(message)))
    }

    /// The same with all that a record holds.
    pub fn scan_whole(
        &self,
        spans: &[Span],
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<bool, LogError> {
        let mut open: Vec<Span> = spans.iter().copied().filter(|s| s.from < s.to).collect();
        self.assign(&open)?;
        let mut heard = Instant::now();
        while !open.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    if wants(&open, partition, offset) && !each(&message) {
                        return Ok(false);
                    }
                    // After `each`: whoever takes his time with a record is not a silent Kafka. What
                    // comes of a partition that was read to its end says nothing of the others.
                    if is_open(&open, partition) {
                        heard = Instant::now();
                    }
                    open.retain(|span| span.partition != partition || offset + 1 < span.to);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if is_open(&open, partition) {
                        heard = Instant::now();
                    }
                    open.retain(|span| span.partition != partition);
                }
                Some(Err(error)) if is_temporary(&error) => {}
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
            if heard.elapsed() > SILENCE_MAX {
                return Err(LogError::Silent(self.topic.clone()));
            }
        }
        Ok(true)
    }

    fn assign(&self, spans: &[Span]) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for span in spans {
            list.add_partition_offset(&self.topic, span.partition, Offset::Offset(span.from))?;
        }
        Ok(self.consumer.assign(&list)?)
    }

    fn partition_count(&self) -> Result<i32, LogError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), ANSWER_TIMEOUT)?;
        let topic = metadata.topics().first();
        match topic.map(|topic| topic.partitions().len()) {
            None | Some(0) => Err(LogError::NoTopic(self.topic.clone())),
            Some(count) => Ok(count as i32),
        }
    }

    fn committed(&self, partitions: i32) -> Result<Vec<Option<i64>>, LogError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.topic, 0, partitions - 1);
        let answered = self.consumer.committed_offsets(asked, ANSWER_TIMEOUT)?;
        let offset = |partition| match answered.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok((0..partitions).map(offset).collect())
    }
}

/// Whether something of this partition is still to be read.
fn is_open(open: &[Span], partition: i32) -> bool {
    open.iter().any(|span| span.partition == partition)
}

/// Whether a record at this place is still to be read.
fn wants(open: &[Span], partition: i32, offset: i64) -> bool {
    open.iter()
        .any(|span| span.partition == partition && offset < span.to)
}

/// Whether the client gets over it by itself, so that only a long silence counts.
fn is_temporary(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_still_kept() {
        let state = |committed| PartitionState {
            partition: 0,
            low: 10,
            high: 15,
            committed,
        };
        assert_eq!(state(Some(12)).lag(), 3);
        assert_eq!(state(None).lag(), 5);
        assert_eq!(state(Some(3)).lag(), 5);
    }

    #[test]
    fn a_partition_is_open_until_its_span_was_read() {
        let open = [Span {
            partition: 1,
            from: 0,
            to: 5,
        }];
        assert!(is_open(&open, 1) && !is_open(&open, 0));
        assert!(wants(&open, 1, 4) && !wants(&open, 1, 5) && !wants(&open, 0, 4));
    }
}
