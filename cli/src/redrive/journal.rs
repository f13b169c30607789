//! Which dead letters were put back. Notes of it stand among the letters themselves, so they live
//! exactly as long (a group's committed offsets would be forgotten after a week): pure.

use crate::dead_letter;
use rdkafka::Message;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde::{Deserialize, Serialize};

/// The header that makes a record without a key a note.
const NOTE: &str = "redriven-letters";

/// Letters of one partition, from an offset up to but not including another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    partition: i32,
    from: i64,
    to: i64,
}

/// Every letter that was put back, as all notes say.
#[derive(Debug, Default)]
pub struct Redriven {
    ranges: Vec<Range>,
}

/// The value of the note that these letters were put back.
pub fn note(places: impl IntoIterator<Item = (i32, i64)>) -> Result<String, serde_json::Error> {
    serde_json::to_string(&ranges_of(places))
}

/// The headers of a note.
pub fn note_headers() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header {
        key: NOTE,
        value: Some("1"),
    })
}

/// What a record on the dead letters' topic notes; nothing when it is a letter. A letter with such
/// a header stays a letter: whoever wrote the record does not decide that.
pub fn read_note(message: &impl Message) -> Vec<Range> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let is_note = headers.into_iter().any(|header| header.key == NOTE);
    if !is_note || dead_letter::is_letter(message) {
        return Vec::new();
    }
    let value = message.payload().unwrap_or_default();
    serde_json::from_slice(value).unwrap_or_default()
}

impl Redriven {
    /// What these notes say together.
    pub fn of(noted: Vec<Range>) -> Self {
        Self {
            ranges: merged(noted),
        }
    }

    /// Whether this letter was put back.
    pub fn contains(&self, partition: i32, offset: i64) -> bool {
        let after = self
            .ranges
            .partition_point(|range| (range.partition, range.from) <= (partition, offset));
        let before = after.checked_sub(1).map(|place| self.ranges[place]);
        before.is_some_and(|range| range.partition == partition && offset < range.to)
    }
}

fn ranges_of(places: impl IntoIterator<Item = (i32, i64)>) -> Vec<Range> {
    let range = |(partition, offset)| Range {
        partition,
        from: offset,
        to: offset + 1,
    };
    merged(places.into_iter().map(range).collect())
}

fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.partition == range.partition && range.from <= last.to => {
                last.to = last.to.max(range.to);
            }
            Some(_) | None => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::samples::letter;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    #[test]
    fn what_was_noted_is_known_and_nothing_else() {
        let first = ranges_of([(0, 4), (0, 3), (1, 9)]);
        let second = ranges_of([(0, 5), (0, 12)]);
        let redriven = Redriven::of([first, second].concat());
        for place in [(0, 3), (0, 4), (0, 5), (0, 12), (1, 9)] {
            assert!(redriven.contains(place.0, place.1), "{place:?}");
        }
        for place in [(0, 2), (0, 6), (0, 11), (0, 13), (1, 8), (1, 10), (2, 3)] {
            assert!(!redriven.contains(place.0, place.1), "{place:?}");
        }
        assert_eq!(redriven.ranges.len(), 3);
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let value = note([(0, 3), (0, 4)]).unwrap().into_bytes();
        let (topic, time) = ("dlq".to_owned(), Timestamp::NotAvailable);
        let headers = Some(note_headers());
        let note = OwnedMessage::new(Some(value), None, topic, time, 0, 9, headers);
        assert!(Redriven::of(read_note(&note)).contains(0, 4));
    }

    #[test]
    fn a_letter_that_looks_like_a_note_is_a_letter() {
        let headers = [("redriven-letters", "1"), ("original-topic", "t")];
        assert!(read_note(&letter(3, None, &headers)).is_empty());
        let headers = [("redriven-letters", "1")];
        assert!(read_note(&letter(3, Some("ord_1"), &headers)).is_empty());
    }
}
