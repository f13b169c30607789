//! What a dead letter says of the record it was, and what that record is when it is put back: pure.

use crate::kafka_log::Record;
use rdkafka::Message;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};

const CAUSE: &str = "cause";
const CAUSE_CLASS: &str = "cause-class";
const ORIGINAL_TOPIC: &str = "original-topic";
const ORIGINAL_PARTITION: &str = "original-partition";
const ORIGINAL_OFFSET: &str = "original-offset";
const ORIGINAL_TIMESTAMP: &str = "original-timestamp";
/// The value was too long for the dead letters' topic; it is only at its original place.
const OMITTED_BYTES: &str = "value-omitted-bytes";
/// Which dead letter a record was: partition/offset.
pub const REDRIVEN_FROM: &str = "redriven-from";

/// What the consumers and we put on a record; the rest is its own.
const NOT_ITS_OWN: [&str; 10] = [
    CAUSE,
    CAUSE_CLASS,
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    ORIGINAL_TIMESTAMP,
    OMITTED_BYTES,
    REDRIVEN_FROM,
    // Of its way over the retry topic.
    "retry-cause",
    "retry-attempts",
];

/// The topic, partition and offset of the record that it was.
pub fn source(letter: &Record) -> Option<(&str, i32, i64)> {
    let partition = letter.header(ORIGINAL_PARTITION)?.parse().ok()?;
    let offset = letter.header(ORIGINAL_OFFSET)?.parse().ok()?;
    Some((letter.header(ORIGINAL_TOPIC)?, partition, offset))
}

/// Why it could not be processed.
pub fn cause(letter: &Record) -> String {
    let text = |name| letter.header(name).unwrap_or("unknown");
    format!("{} ({})", text(CAUSE), text(CAUSE_CLASS))
}

/// Whether this is a dead letter at all: other records on its topic tell what was redriven.
pub fn is_letter(message: &impl Message) -> bool {
    header(message, ORIGINAL_TOPIC).is_some() || message.key().is_some()
}

/// The class that the consumer gave its cause.
pub fn class(letter: &impl Message) -> String {
    header(letter, CAUSE_CLASS).unwrap_or_else(|| "unknown".to_owned())
}

/// Partition, offset, key and cause, in one line.
pub fn described(letter: &impl Message) -> String {
    let key = letter.key().map(|key| String::from_utf8_lossy(key));
    format!(
        "{}/{}  {}  {}: {}",
        letter.partition(),
        letter.offset(),
        key.as_deref().unwrap_or("(no key)"),
        class(letter),
        header(letter, CAUSE).as_deref().unwrap_or("unknown")
    )
}

/// Where the value is that was too long for the dead letters' topic; `None` when it is here.
pub fn value_is_at(letter: &impl Message) -> Option<(String, i32, i64)> {
    header(letter, OMITTED_BYTES)?;
    let number = |name| header(letter, name)?.parse::<i64>().ok();
    let partition = i32::try_from(number(ORIGINAL_PARTITION)?).ok()?;
    let topic = header(letter, ORIGINAL_TOPIC)?;
    Some((topic, partition, number(ORIGINAL_OFFSET)?))
}

/// The record's own headers, and the one that tells which dead letter it was.
pub fn restored_headers(letter: &OwnedMessage) -> OwnedHeaders {
    let mut restored = OwnedHeaders::new();
    for own in letter.headers().into_iter().flat_map(Headers::iter) {
        if !NOT_ITS_OWN.contains(&own.key) {
            restored = restored.insert(own);
        }
    }
    let place = format!("{}/{}", letter.partition(), letter.offset());
    restored.insert(Header {
        key: REDRIVEN_FROM,
        value: Some(place.as_bytes()),
    })
}

/// The newest header of this name, as text.
fn header(message: &impl Message, name: &str) -> Option<String> {
    let headers = message.headers()?.iter();
    let newest = headers.filter(|header| header.key == name).last()?;
    Some(String::from_utf8_lossy(newest.value?).into_owned())
}

#[cfg(test)]
pub mod samples {
    //! A dead letter for unit tests.

    use super::*;
    use rdkafka::Timestamp;

    /// A dead letter at this offset of partition 0, with these headers.
    pub fn letter(offset: i64, key: Option<&str>, headers: &[(&str, &str)]) -> OwnedMessage {
        let mut all = OwnedHeaders::new();
        for (key, value) in headers {
            let value = Some(*value);
            all = all.insert(Header { key, value });
        }
        let key = key.map(|key| key.as_bytes().to_vec());
        let (topic, time) = ("dlq".to_owned(), Timestamp::NotAvailable);
        OwnedMessage::new(Some(b"{}".to_vec()), key, topic, time, 0, offset, Some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::samples::letter;
    use super::*;

    #[test]
    fn the_headers_name_the_record() {
        let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let letter = Record {
            partition: 0,
            offset: 0,
            key: String::new(),
            timestamp_ms: None,
            headers: vec![
                header("original-topic", "payment.commands"),
                header("original-partition", "3"),
                header("original-offset", "17"),
                header("cause", "the value is not a payment command"),
                header("cause-class", "bad-json"),
            ],
        };
        assert_eq!(source(&letter), Some(("payment.commands", 3, 17)));
        assert_eq!(
            cause(&letter),
            "the value is not a payment command (bad-json)"
        );
    }

    #[test]
    fn a_record_that_is_put_back_has_its_own_headers_and_the_letter_it_was() {
        let headers = [
            ("type", "payment"),
            ("cause", "bad"),
            ("cause-class", "bad-field"),
            ("original-topic", "payment.commands"),
            ("original-partition", "3"),
            ("original-offset", "17"),
            ("original-timestamp", "1"),
            ("redriven-from", "0/2"),
            ("mine", "kept"),
        ];
        let restored = restored_headers(&letter(9, Some("ord_1"), &headers));
        let found: Vec<(&str, &[u8])> = restored
            .iter()
            .map(|header| (header.key, header.value.unwrap()))
            .collect();
        let kept: [(&str, &[u8]); 3] = [
            ("type", b"payment"),
            ("mine", b"kept"),
            ("redriven-from", b"0/9"),
        ];
        assert_eq!(found, kept);
    }

    #[test]
    fn a_value_that_was_left_out_is_at_its_original_place() {
        let mut headers = vec![
            ("original-topic", "payment.commands"),
            ("original-partition", "3"),
            ("original-offset", "17"),
        ];
        assert_eq!(value_is_at(&letter(0, None, &headers)), None);
        headers.push(("value-omitted-bytes", "3000000"));
        let place = Some(("payment.commands".to_owned(), 3, 17));
        assert_eq!(value_is_at(&letter(0, None, &headers)), place);
    }
}
