//! What a record on the commands' topic says: a command, poison, or something only a newer
//! version of this service can read. Pure; any bytes get an answer.

use crate::record::Record;
use domain::{COMMAND_TYPE, CommandError, PaymentCommand, SCHEMA_VERSION, headers};

/// Most characters of a waiting instance's name; a longer one is not woken.
const WAKE_CHARS_MAX: usize = 128;

/// What a record says.
#[derive(Debug)]
pub enum Decoded {
    /// A payment to make.
    Command(Box<Command>),
    /// It can never be processed: a dead letter.
    Poison(Cause),
    /// Its schema version is newer than ours: it waits for a newer consumer.
    NewerSchema(u32),
}

/// A payment to make, and who waits for its outcome.
#[derive(Debug)]
pub struct Command {
    /// The payment.
    pub payment: PaymentCommand,
    /// The API instance that waits, if one does.
    pub wake: Option<String>,
}

/// Why a record is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// For machines: what redrive selects by.
    pub class: CauseClass,
    /// For people.
    pub text: String,
}

/// The kinds of causes, as the header `cause-class` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CauseClass {
    /// The record has no key.
    NoKey,
    /// The key is not the order id of the value.
    WrongKey,
    /// The record has no value.
    NoValue,
    /// The value is longer than any command may be.
    TooLong,
    /// The type header names no command that we know.
    UnknownType,
    /// The schema version header is not a version.
    BadSchemaVersion,
    /// The value is not the JSON of a command.
    BadJson,
    /// A field breaks its rule.
    BadField,
    /// The log refused it: another body under the same order id, or a row that cannot be written.
    Refused,
}

impl CauseClass {
    /// The header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::WrongKey => "wrong-key",
            Self::NoValue => "no-value",
            Self::TooLong => "too-long",
            Self::UnknownType => "unknown-type",
            Self::BadSchemaVersion => "bad-schema-version",
            Self::BadJson => "bad-json",
            Self::BadField => "bad-field",
            Self::Refused => "refused",
        }
    }
}

/// Reads a record. The version comes first: a newer schema may have other keys and values. A
/// record without headers is a payment of the first version.
pub fn decode(record: &Record, value_bytes_max: usize) -> Decoded {
    match schema_version(record) {
        Err(cause) => return Decoded::Poison(cause),
        Ok(version) if version > SCHEMA_VERSION => return Decoded::NewerSchema(version),
        Ok(_) => {}
    }
    match command(record, value_bytes_max) {
        Ok(command) => Decoded::Command(Box::new(command)),
        Err(cause) => Decoded::Poison(cause),
    }
}

fn schema_version(record: &Record) -> Result<u32, Cause> {
    if !has_header(record, headers::SCHEMA_VERSION) {
        return Ok(SCHEMA_VERSION);
    }
    let text = record.header(headers::SCHEMA_VERSION);
    let version = text.and_then(|text| text.parse::<u32>().ok());
    version.filter(|version| *version > 0).ok_or_else(|| {
        poison(
            CauseClass::BadSchemaVersion,
            format!("the header schema-version is not a version: {text:?}"),
        )
    })
}

fn command(record: &Record, value_bytes_max: usize) -> Result<Command, Cause> {
    if has_header(record, headers::TYPE) && record.header(headers::TYPE) != Some(COMMAND_TYPE) {
        let text = format!("unknown type {:?}", record.header(headers::TYPE));
        return Err(poison(CauseClass::UnknownType, text));
    }
    let Some(key) = &record.key else {
        return Err(poison(CauseClass::NoKey, "the record has no key"));
    };
    let Some(value) = &record.value else {
        return Err(poison(CauseClass::NoValue, "the record has no value"));
    };
    if value.len() > value_bytes_max {
        let text = format!("the value has more than {value_bytes_max} bytes");
        return Err(poison(CauseClass::TooLong, text));
    }
    let payment = PaymentCommand::parse(value).map_err(|error| match error {
        CommandError::Json(_) => poison(CauseClass::BadJson, error.to_string()),
        CommandError::Field { .. } => poison(CauseClass::BadField, error.to_string()),
    })?;
    if payment.order_id.to_string().as_bytes() != key.as_slice() {
        let text = format!("the key is not the order id {}", payment.order_id);
        return Err(poison(CauseClass::WrongKey, text));
    }
    let wake = record.header(headers::WAKE);
    let wake = wake.filter(|name| !name.is_empty() && name.chars().count() <= WAKE_CHARS_MAX);
    Ok(Command {
        payment,
        wake: wake.map(str::to_owned),
    })
}

fn has_header(record: &Record, name: &str) -> bool {
    record.headers.iter().any(|(key, _)| key == name)
}

fn poison(class: CauseClass, text: impl Into<String>) -> Cause {
    Cause {
        class,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Place;

    const VALUE_BYTES_MAX: usize = 64 * 1024;
    const ID: &str = "ord_00000000000000000000000000000009";

    fn value() -> String {
        let digest = serde_json::to_string(&domain::BodyDigest::from_bytes([3; 32])).unwrap();
        format!(
            r#"{{"order_id":"{ID}","tenant":"demo","merchant":"shop",
            "payer":"acct_00000000000000000000000000000001",
            "payee":"acct_00000000000000000000000000000002",
            "amount":2933,"currency":"USD","body_digest":{digest},
            "accepted_at":"2026-01-01T00:00:00Z","not_after":"2026-01-02T00:00:00Z"}}"#
        )
    }

    fn record(key: Option<&str>, value: Option<&str>, headers: &[(&str, &str)]) -> Record {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let place = Place {
            partition: 0,
            generation: 1,
            source: crate::record::Source::Commands,
            offset: 7,
        };
        let headers = headers.iter();
        Record {
            place,
            key: key.map(bytes),
            value: value.map(bytes),
            headers: headers
                .map(|(k, v)| ((*k).to_owned(), Some(bytes(v))))
                .collect(),
            timestamp_ms: None,
        }
    }

    fn class_of(record: &Record) -> CauseClass {
        match decode(record, VALUE_BYTES_MAX) {
            Decoded::Poison(cause) => cause.class,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_command_tells_who_waits_for_it() {
        let headers = [("type", "payment"), ("schema-version", "1"), ("wake", "a")];
        let record = record(Some(ID), Some(&value()), &headers);
        match decode(&record, VALUE_BYTES_MAX) {
            Decoded::Command(command) => {
                assert_eq!(command.payment.amount, 2933);
                assert_eq!(command.wake.as_deref(), Some("a"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_kind_of_poison_has_its_class() {
        let good = value();
        let refused = good.replace("2933", "0");
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        let cases: [(Record, CauseClass); 9] = [
            (record(None, Some(&good), &[]), CauseClass::NoKey),
            (
                record(Some("ord_9"), Some(&good), &[]),
                CauseClass::WrongKey,
            ),
            (record(Some(ID), None, &[]), CauseClass::NoValue),
            (record(Some(ID), Some(&long), &[]), CauseClass::TooLong),
            (record(Some(ID), Some("{"), &[]), CauseClass::BadJson),
            (record(Some(ID), Some(&refused), &[]), CauseClass::BadField),
            (
                record(Some(ID), Some(&good), &[("type", "refund")]),
                CauseClass::UnknownType,
            ),
            (
                record(Some(ID), Some(&good), &[("schema-version", "one")]),
                CauseClass::BadSchemaVersion,
            ),
            (
                record(Some(ID), Some(&good), &[("schema-version", "0")]),
                CauseClass::BadSchemaVersion,
            ),
        ];
        for (record, class) in cases {
            assert_eq!(class_of(&record), class, "{record:?}");
        }
    }

    #[test]
    fn a_newer_schema_is_no_poison_whatever_else_it_holds() {
        let record = record(None, Some("{"), &[("schema-version", "2")]);
        assert!(matches!(
            decode(&record, VALUE_BYTES_MAX),
            Decoded::NewerSchema(2)
        ));
    }

    #[test]
    fn any_record_gets_an_answer() {
        let good = value().into_bytes();
        domain::mangled::each_mangled(&[good], |bytes| {
            let mut record = record(Some(ID), None, &[]);
            record.value = Some(bytes.to_vec());
            let _ = decode(&record, VALUE_BYTES_MAX);
        });
        let texts = [ID.as_bytes().to_vec(), b"payment".to_vec(), b"1".to_vec()];
        domain::mangled::each_mangled(&texts, |bytes| {
            let mut record = record(None, Some(&value()), &[]);
            record.key = Some(bytes.to_vec());
            let names = ["type", "schema-version", "wake", "x"];
            record.headers = names
                .map(|name| (name.to_owned(), Some(bytes.to_vec())))
                .to_vec();
            let _ = decode(&record, VALUE_BYTES_MAX);
        });
    }
}
