//! Where a record stood first, told by headers once it is copied to another topic.

use crate::record::{Record, Source};
use rdkafka::message::{Header, OwnedHeaders};

/// The topic that a record was copied from.
pub const TOPIC: &str = "original-topic";
/// Its partition there.
pub const PARTITION: &str = "original-partition";
/// Its offset there.
pub const OFFSET: &str = "original-offset";
/// Its time there, in Unix milliseconds.
pub const TIMESTAMP: &str = "original-timestamp";
/// All of them: a copy of a copy gets them anew.
pub const NAMES: [&str; 4] = [TOPIC, PARTITION, OFFSET, TIMESTAMP];

/// A record's first place on the commands' topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// When it was written, in Unix milliseconds.
    pub timestamp_ms: Option<i64>,
}

impl Origin {
    /// Where the record is, or what its headers tell when it took the way over the retry topic.
    pub fn of(record: &Record) -> Self {
        let here = Self {
            partition: record.place.partition,
            offset: record.place.offset,
            timestamp_ms: record.timestamp_ms,
        };
        match record.place.source {
            Source::Commands => here,
            Source::Retry(_) => Self::told(record).unwrap_or(here),
        }
    }

    fn told(record: &Record) -> Option<Self> {
        Some(Self {
            partition: record.header(PARTITION)?.parse().ok()?,
            offset: record.header(OFFSET)?.parse().ok()?,
            timestamp_ms: record.header(TIMESTAMP).and_then(|ms| ms.parse().ok()),
        })
    }

    /// As headers of a copy.
    pub fn headers(self, commands_topic: &str) -> [(&'static str, Option<String>); 4] {
        [
            (TOPIC, Some(commands_topic.to_owned())),
            (PARTITION, Some(self.partition.to_string())),
            (OFFSET, Some(self.offset.to_string())),
            (TIMESTAMP, self.timestamp_ms.map(|ms| ms.to_string())),
        ]
    }
}

/// The record's own headers but for those named in `anew`, then `ours`.
pub fn copied_headers(
    record: &Record,
    anew: &[&str],
    ours: &[(&str, Option<String>)],
) -> OwnedHeaders {
    let kept = record.headers.iter();
    let kept = kept.filter(|(key, _)| !anew.contains(&key.as_str()) && !NAMES.contains(&&**key));
    let kept = kept.map(|(key, value)| (key.as_str(), value.as_deref()));
    let ours = ours.iter();
    let ours = ours.filter_map(|(key, value)| Some((*key, Some(value.as_ref()?.as_bytes()))));
    kept.chain(ours)
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Place;
    use saga::ShardId;

    fn record(source: Source, headers: &[(&str, &str)]) -> Record {
        let place = Place {
            partition: 3,
            generation: 1,
            source,
            offset: 70,
        };
        let header =
            |(key, value): &(&str, &str)| ((*key).to_owned(), Some(value.as_bytes().to_vec()));
        Record {
            place,
            key: None,
            value: None,
            headers: headers.iter().map(header).collect(),
            timestamp_ms: Some(9),
        }
    }

    #[test]
    fn a_record_that_came_back_tells_its_first_place() {
        let told = [(PARTITION, "3"), (OFFSET, "17"), (TIMESTAMP, "5")];
        let first = Origin {
            partition: 3,
            offset: 17,
            timestamp_ms: Some(5),
        };
        let back = Source::Retry(ShardId(1));
        assert_eq!(Origin::of(&record(back, &told)), first);
        // On the commands' topic they are left over from a redrive.
        let redriven = Origin::of(&record(Source::Commands, &told));
        assert_eq!((redriven.offset, redriven.timestamp_ms), (70, Some(9)));
        assert_eq!(Origin::of(&record(back, &[])).offset, 70);
    }
}
