//! Asks Kafka about one order: the log, what waits on the retry topic, the dead letters.

use super::evidence::{Answer, LogEvidence};
use crate::dead_letter;
use crate::kafka_log::{KafkaLog, LogError, PartitionState, Record, Span};
use crate::partition::partition_of;
use crate::settings::Settings;
use chrono::{DateTime, TimeDelta, Utc};
use consumer::retry_topic::{RetryParts, ShardId};
use domain::OrderId;
use service::kafka::KafkaSettings;
use std::time::{Duration, Instant};
use store::OrderRow;

/// Clocks differ, and a record is written a moment after its order was accepted.
const BEFORE_ACCEPTED: TimeDelta = TimeDelta::minutes(1);
/// A record of the order is rarely further from its acceptance than its retries.
const AFTER_ACCEPTED: TimeDelta = TimeDelta::minutes(10);
/// Reading a partition is cut off after this.
const READ_TIME: Duration = Duration::from_secs(10);

/// What part of the partition may hold the order's records, in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    from_ms: i64,
    to_ms: Option<i64>,
}

impl Window {
    /// The time around the row's acceptance, or the last `since`.
    pub fn of(row: Option<&OrderRow>, since: Duration) -> Self {
        let ms = |at: DateTime<Utc>| at.timestamp_millis();
        match row {
            Some(row) => Self {
                from_ms: ms(row.accepted_at - BEFORE_ACCEPTED),
                to_ms: Some(ms(row.accepted_at + AFTER_ACCEPTED)),
            },
            None => Self {
                from_ms: ms(Utc::now()) - i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                to_ms: None,
            },
        }
    }
}

/// Its records on the commands' topic and whether it waits on the retry topic; its dead letters.
pub async fn find_records(
    settings: &Settings,
    id: OrderId,
    shard: u16,
    window: Window,
) -> (Answer<LogEvidence>, Answer<Vec<String>>) {
    let (kafka, group) = (settings.kafka.clone(), settings.worker.group_id.clone());
    let key = id.to_string();
    let asked = tokio::task::spawn_blocking(move || {
        let log = KafkaLog::open(&kafka, &kafka.commands_topic, &group)
            .and_then(|log| read_partition(&log, &key, window))
            .and_then(|found| look_among_waiting(&kafka, &group, &key, shard, found));
        let log = Answer::from(log.map(Some));
        if let Answer::Silent(cause) = log {
            return (Answer::Silent(cause.clone()), Answer::Silent(cause));
        }
        let letters = KafkaLog::open(&kafka, &kafka.dead_letter_topic, &group)
            .and_then(|log| read_dead_letters(&log, &key));
        let some = |causes: Vec<String>| Some(causes).filter(|causes| !causes.is_empty());
        (log, Answer::from(letters.map(some)))
    });
    match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let cause = error.to_string();
            (Answer::Silent(cause.clone()), Answer::Silent(cause))
        }
    }
}

fn read_partition(log: &KafkaLog, key: &str, window: Window) -> Result<LogEvidence, LogError> {
    let partitions = log.partitions()?;
    let partition = partition_of(key.as_bytes(), partitions.len() as u32);
    let state = partitions
        .into_iter()
        .find(|state| state.partition == partition)
        .ok_or_else(|| LogError::NoPartition(partition))?;
    let span = span(log, &state, window)?;
    let mut records = Vec::new();
    let started = Instant::now();
    let whole = log.scan(&[span], |record| {
        if record.key == key {
            records.push(record);
        }
        started.elapsed() < READ_TIME
    })?;
    Ok(LogEvidence {
        partition,
        committed: state.committed.unwrap_or(state.low),
        lag: state.lag(),
        records,
        whole,
        waiting: None,
    })
}

/// Reads what waits on the retry topic beside the order's partition, for its order shard.
fn look_among_waiting(
    kafka: &KafkaSettings,
    group: &str,
    key: &str,
    shard: u16,
    mut found: LogEvidence,
) -> Result<LogEvidence, LogError> {
    let log = KafkaLog::open(kafka, &kafka.commands_topic, group)?;
    let partitions = u16::try_from(log.partitions()?.len()).unwrap_or(u16::MAX);
    let parts = RetryParts {
        partitions,
        shards: shard + 1,
    };
    let number = parts.number(found.partition, ShardId(shard));
    let log = KafkaLog::open(kafka, &kafka.retry_topic, &format!("{group}-retry"))?;
    let states = match log.partitions() {
        Err(LogError::NoTopic(_)) => return Ok(found),
        states => states?,
    };
    let part = states.into_iter().find(|state| state.partition == number);
    let unfinished = part.map(|state| Span {
        partition: number,
        from: state.committed.unwrap_or(state.low).max(state.low),
        to: state.high,
    });
    let started = Instant::now();
    let read = log.scan(unfinished.as_slice(), |record| {
        if record.key == key {
            found.waiting = Some((number, record.offset));
        }
        found.waiting.is_none() && started.elapsed() < READ_TIME
    })?;
    found.whole &= read || found.waiting.is_some();
    Ok(found)
}

fn span(log: &KafkaLog, state: &PartitionState, window: Window) -> Result<Span, LogError> {
    let offset_at = |unix_ms| log.offset_at(state.partition, unix_ms);
    let to = match window.to_ms {
        Some(unix_ms) => offset_at(unix_ms)?.unwrap_or(state.high),
        None => state.high,
    };
    Ok(Span {
        partition: state.partition,
        from: offset_at(window.from_ms)?.unwrap_or(state.high),
        to,
    })
}

fn read_dead_letters(log: &KafkaLog, key: &str) -> Result<Vec<String>, LogError> {
    let partitions = log.partitions()?;
    let spans: Vec<Span> = partitions.iter().map(Span::whole).collect();
    let mut causes = Vec::new();
    let started = Instant::now();
    log.scan(&spans, |letter: Record| {
        if letter.key == key {
            causes.push(dead_letter::cause(&letter));
        }
        started.elapsed() < READ_TIME
    })?;
    Ok(causes)
}
