//! Asks Kafka about one order: the log, what waits on the retry topic, the dead letters.

use super::evidence::{Answer, LogEvidence};
use crate::cause;
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
                from_ms: ms(row.accepted_at - BEFORE_ACCEPTED).max(0),
                to_ms: Some(ms(row.accepted_at + AFTER_ACCEPTED)),
            },
            None => Self {
                from_ms: since_ms(Utc::now(), since),
                to_ms: None,
            },
        }
    }
}

/// Never before 1970: Kafka takes a negative instant for something else.
fn since_ms(now: DateTime<Utc>, since: Duration) -> i64 {
    let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    now.timestamp_millis().saturating_sub(since).max(0)
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
        let mut log = KafkaLog::open(&kafka, &kafka.commands_topic, &group)
            .and_then(|log| read_partition(&log, &key, window))
            .and_then(|found| look_among_waiting(&kafka, &group, &key, shard, found));
        let letters = match &mut log {
            Ok(found) => KafkaLog::open(&kafka, &kafka.dead_letter_topic, &group)
                .and_then(|log| read_dead_letters(&log, &key))
                .map(|(causes, whole)| fold_letters(found, causes, whole)),
            Err(error) => return both_silent(cause::told(error)),
        };
        (Answer::from(log.map(Some)), Answer::from(letters))
    });
    match asked.await {
        Ok(answers) => answers,
        Err(error) => both_silent(error.to_string()),
    }
}

fn both_silent(cause: String) -> (Answer<LogEvidence>, Answer<Vec<String>>) {
    (Answer::Silent(cause.clone()), Answer::Silent(cause))
}

/// Dead letters that were not read to the end leave it open whether the order's is among them.
fn fold_letters(found: &mut LogEvidence, causes: Vec<String>, whole: bool) -> Option<Vec<String>> {
    found.whole &= whole;
    Some(causes).filter(|causes| !causes.is_empty())
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

/// The causes of its dead letters, and whether all letters were read.
fn read_dead_letters(log: &KafkaLog, key: &str) -> Result<(Vec<String>, bool), LogError> {
    let partitions = log.partitions()?;
    let spans: Vec<Span> = partitions.iter().map(Span::whole).collect();
    let mut causes = Vec::new();
    let started = Instant::now();
    let whole = log.scan(&spans, |letter: Record| {
        if letter.key == key {
            causes.push(dead_letter::cause(&letter));
        }
        started.elapsed() < READ_TIME
    })?;
    Ok((causes, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_not_read_to_the_end_leave_the_log_not_wholly_read() {
        let log = || LogEvidence {
            partition: 3,
            committed: 10,
            lag: 0,
            records: Vec::new(),
            whole: true,
            waiting: None,
        };
        let mut found = log();
        assert_eq!(fold_letters(&mut found, Vec::new(), true), None);
        assert!(found.whole);
        assert_eq!(fold_letters(&mut found, Vec::new(), false), None);
        assert!(!found.whole);
        let causes = vec!["bad field (bad-field)".to_owned()];
        assert_eq!(fold_letters(&mut log(), causes.clone(), true), Some(causes));
    }

    #[test]
    fn a_window_never_reaches_before_1970() {
        assert_eq!(Window::of(None, Duration::MAX).from_ms, 0);
        let century = Duration::from_secs(100 * 366 * 24 * 3_600);
        assert_eq!(Window::of(None, century).from_ms, 0);
        assert!(Window::of(None, Duration::from_secs(3_600)).from_ms > 0);
    }
}
