//! Which orders wait on the retry topic until their order shard can be reached.

use crate::kafka_log::{KafkaLog, LogError, PartitionState, Span};
use domain::OrderId;
use service::kafka::KafkaSettings;
use std::collections::HashSet;

/// The orders whose records nobody has taken back from the retry topic yet.
#[derive(Debug, Default)]
pub struct Waiting(HashSet<OrderId>);

impl Waiting {
    /// Reads what the consumers have not taken back. A topic that is not there holds nothing.
    /// Blocks.
    pub fn read(kafka: &KafkaSettings, group: &str) -> Result<Self, LogError> {
        let group = format!("{group}-retry");
        let log = KafkaLog::open(kafka, &kafka.retry_topic, &group)?;
        let partitions = match log.partitions() {
            Ok(partitions) => partitions,
            Err(LogError::NoTopic(_)) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let spans: Vec<Span> = partitions.iter().map(not_taken_back).collect();
        let mut waiting = HashSet::new();
        log.scan(&spans, |record| {
            waiting.extend(record.key.parse::<OrderId>());
            true
        })?;
        Ok(Self(waiting))
    }

    /// These orders wait.
    #[cfg(test)]
    pub fn of(ids: impl IntoIterator<Item = OrderId>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// Whether this order waits.
    pub fn contains(&self, id: OrderId) -> bool {
        self.0.contains(&id)
    }
}

fn not_taken_back(state: &PartitionState) -> Span {
    Span {
        partition: state.partition,
        from: state.committed.unwrap_or(state.low).max(state.low),
        to: state.high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_taken_back_waits() {
        let span = |committed| {
            not_taken_back(&PartitionState {
                partition: 3,
                low: 5,
                high: 20,
                committed,
            })
        };
        assert_eq!((span(Some(9)).from, span(Some(9)).to), (9, 20));
        assert_eq!(span(None).from, 5);
        assert_eq!(span(Some(2)).from, 5);
    }
}
