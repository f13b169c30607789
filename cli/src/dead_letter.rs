//! What a dead letter says of the record it was.

use crate::kafka_log::Record;

/// The partition and offset of the record on the commands' topic.
pub fn source(letter: &Record) -> Option<(i32, i64)> {
    let partition = letter.header("original-partition")?.parse().ok()?;
    let offset = letter.header("original-offset")?.parse().ok()?;
    Some((partition, offset))
}

/// Why it could not be processed.
pub fn cause(letter: &Record) -> String {
    let text = |name| letter.header(name).unwrap_or("unknown");
    format!("{} ({})", text("cause"), text("cause-class"))
}

#[cfg(test)]
mod tests {
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
                header("original-partition", "3"),
                header("original-offset", "17"),
                header("cause", "the value is not a payment command"),
                header("cause-class", "bad-json"),
            ],
        };
        assert_eq!(source(&letter), Some((3, 17)));
        assert_eq!(
            cause(&letter),
            "the value is not a payment command (bad-json)"
        );
    }
}
