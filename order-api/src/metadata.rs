//! The merchant's own fields of an order: any JSON object, but never two values under one name,
//! which readers would resolve differently, nor a number that would become another one. Fractions
//! are the doubles nearest to them, as in every JSON reader.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;

/// From here on neighbouring doubles are further than 1 apart: what was written is not known.
const DOUBLES_EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// A JSON object without duplicate names at any depth, whose numbers kept their value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(StrictValue)? {
            Value::Object(object) => Ok(Self(object)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err(D::Error::custom("must be an object")),
        }
    }
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    /// An integer comes here when it fits no 64 bits: as a double it would be another number, and
    /// two orders could have one digest.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if value.abs() < DOUBLES_EXACT_BELOW {
            Ok(Value::from(value))
        } else {
            Err(E::custom(
                "a number must be an integer of 64 bits, or nearer to zero than 2^53; write a larger one as text",
            ))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(Self)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("the name {name:?} stands twice")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_once_at_every_depth() {
        let read = |text: &str| serde_json::from_str::<Metadata>(text);
        assert!(read(r#"{"a":{"b":1},"b":[{"b":2.5},null,true,"x",-1]}"#).is_ok());
        assert!(read(r#"{"a":1,"a":1}"#).is_err());
        assert!(read(r#"{"x":[{"a":1,"a":2}]}"#).is_err());
        assert!(read("[]").is_err());
        assert!(read("null").is_err());
        assert!(read("\"text\"").is_err());
    }

    #[test]
    fn a_number_keeps_its_value_or_is_refused() {
        let read = |number: &str| {
            let read = serde_json::from_str::<Metadata>(&format!(r#"{{"n":{number}}}"#));
            read.map(|metadata| metadata.0["n"].to_string())
        };
        for kept in [
            "0",
            "-1",
            "2.5",
            "0.1",
            "-0.125",
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            // These two become their neighbours where doubles are read in haste.
            "9007199254740991.0",
            "31.245270191439438",
        ] {
            assert_eq!(read(kept).unwrap(), kept);
        }
        for changed in [
            "18446744073709551616",
            "-9223372036854775809",
            "10000000000000000000001",
            "-10000000000000000000001",
            "9007199254740993.0",
            "1e20",
            "1e400",
            "-1e400",
        ] {
            assert!(read(changed).is_err(), "{changed}");
        }
    }
}
