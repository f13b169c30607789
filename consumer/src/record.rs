//! A record as plain values, copied out of the Kafka client at once, and the place it came from.

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};
use saga::ShardId;

/// The topic that a record was read from. An order's records in hand that came back from the retry
/// topic are older than those from the commands' topic, and so is their order here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The retry topic: the part of this order shard.
    Retry(ShardId),
    /// The commands' topic.
    Commands,
}

/// Where a record stands, and under which assignment of its partition it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The partition of the commands' topic, also of a record that took the way over the retry topic.
    pub partition: i32,
    /// Counts assignments: what was read under an earlier one is not committed under a later one.
    pub generation: u64,
    /// What the offset counts in.
    pub source: Source,
    /// The offset within what it was read from.
    pub offset: i64,
}

/// A record of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub place: Place,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
    /// Its headers in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its time in Unix milliseconds, if it has one.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// Copies a message of the client, read under this place's partition and generation.
    pub fn copy_of(message: &BorrowedMessage<'_>, place: Place) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| {
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        });
        Self {
            place,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
            timestamp_ms: message.timestamp().to_millis(),
        }
    }

    /// The text of the newest header of this name; `None` when absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let newest = self.headers.iter().rev().find(|(key, _)| key == name)?;
        std::str::from_utf8(newest.1.as_deref()?).ok()
    }

    /// Its size in KiB, rounded up, never 0: the unit in which room is counted.
    pub fn size_kib(&self) -> u32 {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let bytes = length(&self.key) + length(&self.value) + headers.sum::<usize>();
        u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
    }
}
