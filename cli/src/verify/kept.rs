//! INV-7: every record that the consumers have dealt with has a row, or is a dead letter.
//!
//! The log is read once, in batches, from the oldest record kept to what the group has committed.
//! What lies beyond that is in flight, and so is what waits on the retry topic. A record goes from
//! the log to the retry topic and from either to its row or its dead letter, never back; they are
//! read in this order, so none is missed on its way.

use super::findings::{Breach, Finding};
use super::waiting::Waiting;
use crate::cause;
use crate::kafka_log::{KafkaLog, LogError, PartitionState, Record, Span};
use crate::settings::Settings;
use anyhow::bail;
use domain::OrderId;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use store::{Lookup, Stores};
use tokio::sync::mpsc;

const BATCH: usize = 1_000;
/// How many records without a row are kept in memory: so many are judged together.
const MISSING_MAX: usize = 10_000;
/// How many lost records are told one by one; more are told by their number.
const LOST_MAX: usize = 10_000;
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Checks it.
pub async fn check(settings: &Settings, stores: &Stores) -> Finding {
    match search_for_missing(settings, stores).await {
        Ok(finding) => finding,
        Err(error) => Finding::unchecked(cause::told(error.as_ref())),
    }
}

async fn search_for_missing(settings: &Settings, stores: &Stores) -> anyhow::Result<Finding> {
    let log = open(settings, &settings.kafka.commands_topic).await?;
    let (log, partitions) = blocking(move || {
        let partitions = log.partitions()?;
        Ok((log, partitions))
    })
    .await?;
    let lag: i64 = partitions.iter().map(PartitionState::lag).sum();
    let spans = dealt_with(&partitions);
    let (kafka, group) = (settings.kafka.clone(), settings.worker.group_id.clone());
    let waiting = blocking(move || Waiting::read(&kafka, &group)).await?;
    let mut missing = without_row(settings, log, spans, stores, &waiting).await?;
    judge(settings, &mut missing).await?;
    Ok(Finding {
        in_flight: u64::try_from(lag).unwrap_or(0) + missing.in_flight,
        breaches: missing.breaches(),
        ..Finding::default()
    })
}

/// What the group has committed of what is still kept.
fn dealt_with(partitions: &[PartitionState]) -> Vec<Span> {
    let span = |state: &PartitionState| Span {
        partition: state.partition,
        from: state.low,
        to: state.committed.unwrap_or(state.low),
    };
    partitions.iter().map(span).collect()
}

#[derive(Default)]
struct Missing {
    /// Without a row, and perhaps a dead letter.
    records: Vec<Record>,
    /// With neither.
    lost: Vec<Record>,
    /// Lost, too.
    more: u64,
    /// Without a row, and waiting on the retry topic.
    in_flight: u64,
}

async fn without_row(
    settings: &Settings,
    log: KafkaLog,
    spans: Vec<Span>,
    stores: &Stores,
    waiting: &Waiting,
) -> anyhow::Result<Missing> {
    let total: i64 = spans.iter().map(|span| (span.to - span.from).max(0)).sum();
    let (sender, mut receiver) = mpsc::channel::<Vec<Record>>(4);
    let reading = tokio::task::spawn_blocking(move || read_batches(&log, &spans, &sender));
    let mut missing = Missing::default();
    let (mut done, mut reported) = (0, Instant::now());
    while let Some(batch) = receiver.recv().await {
        done += batch.len();
        missing.look_for_rows(batch, stores, waiting).await?;
        if missing.records.len() >= MISSING_MAX {
            judge(settings, &mut missing).await?;
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            eprintln!("INV-7: {done} of {total} records looked at");
        }
    }
    reading.await??;
    Ok(missing)
}

fn read_batches(
    log: &KafkaLog,
    spans: &[Span],
    sender: &mpsc::Sender<Vec<Record>>,
) -> Result<(), LogError> {
    let mut batch = Vec::with_capacity(BATCH);
    log.scan(spans, |record| {
        batch.push(record);
        if batch.len() < BATCH {
            return true;
        }
        // Nobody receives any more only when the check has already failed.
        sender.blocking_send(std::mem::take(&mut batch)).is_ok()
    })?;
    if !batch.is_empty() {
        let _ = sender.blocking_send(batch);
    }
    Ok(())
}

impl Missing {
    async fn look_for_rows(
        &mut self,
        batch: Vec<Record>,
        stores: &Stores,
        waiting: &Waiting,
    ) -> anyhow::Result<()> {
        let ids: Vec<Option<OrderId>> = batch.iter().map(|r| r.key.parse().ok()).collect();
        let asked: Vec<OrderId> = ids.iter().flatten().copied().collect();
        let mut found = HashSet::new();
        for (id, answer) in asked.iter().zip(stores.orders.find(&asked).await) {
            match answer {
                Lookup::Found(_) | Lookup::Unreadable(_) => {
                    found.insert(*id);
                }
                Lookup::Missing => {}
                Lookup::Unreachable(cause) => bail!(cause),
            }
        }
        let has_row = |id: Option<OrderId>| id.is_some_and(|id| found.contains(&id));
        let without = batch.into_iter().zip(ids).filter(|(_, id)| !has_row(*id));
        for (record, id) in without {
            self.add(record, id, waiting);
        }
        Ok(())
    }

    fn add(&mut self, record: Record, id: Option<OrderId>, waiting: &Waiting) {
        if id.is_some_and(|id| waiting.contains(id)) {
            self.in_flight += 1;
        } else {
            self.records.push(record);
        }
    }

    /// Where the records are that are not judged yet.
    fn places(&self) -> HashSet<(i32, i64)> {
        self.records.iter().map(place).collect()
    }

    /// Those at these places have no dead letter either.
    fn strike_out(&mut self, without_letter: &HashSet<(i32, i64)>) {
        let records = std::mem::take(&mut self.records).into_iter();
        for record in records.filter(|record| without_letter.contains(&place(record))) {
            if self.lost.len() < LOST_MAX {
                self.lost.push(record);
            } else {
                self.more += 1;
            }
        }
    }

    fn breaches(self) -> Vec<Breach> {
        let of_record = |record: Record| Breach {
            what: format!(
                "{} was accepted, and has neither a row nor a dead letter",
                record.key
            ),
            rows: vec![format!(
                "payment.commands partition {} offset {} key {}",
                record.partition, record.offset, record.key
            )],
        };
        let mut breaches: Vec<Breach> = self.lost.into_iter().map(of_record).collect();
        if self.more > 0 {
            breaches.push(Breach {
                what: format!(
                    "{} more records have neither a row nor a dead letter",
                    self.more
                ),
                rows: Vec::new(),
            });
        }
        breaches
    }
}

fn place(record: &Record) -> (i32, i64) {
    (record.partition, record.offset)
}

/// Strikes out the dead letters among the records without a row; the others are lost.
async fn judge(settings: &Settings, missing: &mut Missing) -> anyhow::Result<()> {
    let mut wanted = missing.places();
    if wanted.is_empty() {
        return Ok(());
    }
    let log = open(settings, &settings.kafka.dead_letter_topic).await?;
    let commands = settings.kafka.commands_topic.clone();
    let wanted = blocking(move || {
        let spans: Vec<Span> = log.partitions()?.iter().map(Span::whole).collect();
        log.scan(&spans, |letter| {
            if let Some((topic, partition, offset)) = crate::dead_letter::source(&letter)
                && topic == commands
            {
                wanted.remove(&(partition, offset));
            }
            true
        })?;
        Ok(wanted)
    })
    .await?;
    missing.strike_out(&wanted);
    Ok(())
}

async fn open(settings: &Settings, topic: &str) -> anyhow::Result<KafkaLog> {
    let (kafka, topic) = (settings.kafka.clone(), topic.to_owned());
    let group = settings.worker.group_id.clone();
    blocking(move || KafkaLog::open(&kafka, &topic, &group)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_committed_must_have_a_row() {
        let state = |committed| PartitionState {
            partition: 3,
            low: 5,
            high: 20,
            committed,
        };
        let span = |to| Span {
            partition: 3,
            from: 5,
            to,
        };
        assert_eq!(dealt_with(&[state(Some(9))]), [span(9)]);
        assert_eq!(dealt_with(&[state(None)]), [span(5)]);
    }

    #[test]
    fn only_what_was_judged_is_lost_however_many_dead_letters_there_are() {
        let record = |offset| Record {
            partition: 3,
            offset,
            key: "no order's".to_owned(),
            timestamp_ms: None,
            headers: Vec::new(),
        };
        let waiting = Waiting::default();
        let mut missing = Missing::default();
        for first in [0, 20_000] {
            for offset in first..first + 10_500 {
                missing.add(record(offset), None, &waiting);
            }
            assert_eq!(missing.places().len(), 10_500);
            // All are dead letters but one.
            missing.strike_out(&HashSet::from([(3, first + 10_400)]));
        }
        assert_eq!((missing.lost.len(), missing.more), (2, 0));
        assert_eq!(missing.breaches().len(), 2);
    }

    #[test]
    fn what_waits_on_the_retry_topic_is_in_flight_and_what_waits_nowhere_is_missing() {
        let ids = [1, 2].map(|byte| OrderId::from_bytes([byte; 16]));
        let record = |id: OrderId| Record {
            partition: 3,
            offset: 7,
            key: id.to_string(),
            timestamp_ms: None,
            headers: Vec::new(),
        };
        let waiting = Waiting::of([ids[0]]);
        let mut missing = Missing::default();
        for id in ids {
            missing.add(record(id), Some(id), &waiting);
        }
        // A record whose key is no order's is never one that waits.
        missing.add(record(ids[0]), None, &waiting);
        assert_eq!((missing.in_flight, missing.records.len()), (1, 2));
        assert_eq!(missing.records[0].key, ids[1].to_string());
    }
}
