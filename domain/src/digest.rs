//! What a payment request says, and the digest that tells two bodies under one key apart.

use crate::{AccountId, Currency};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 of the parsed body, so that spelling (white space, key order) does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    /// The digest of these 32 bytes, as the store keeps it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, as the store keeps them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of parts, each length-prefixed.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl From<BodyDigest> for String {
    fn from(digest: BodyDigest) -> Self {
        hex::encode(digest.0)
    }
}

impl TryFrom<String> for BodyDigest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|e| format!("body digest: {e}"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The parsed and checked body of `POST /v1/orders`.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentBody {
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// Minor units.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
    /// The merchant's own name for it.
    pub reference: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The merchant's own fields: canonical JSON text of an object, keys sorted.
    pub metadata: Option<String>,
}

impl PaymentBody {
    /// The digest of everything in the body.
    pub fn digest(&self) -> BodyDigest {
        let optional = |text: &Option<String>| match text {
            Some(text) => [b"1", text.as_bytes()].concat(),
            None => b"0".to_vec(),
        };
        let parts = [
            self.payer.as_bytes().to_vec(),
            self.payee.as_bytes().to_vec(),
            self.amount.to_be_bytes().to_vec(),
            self.currency.as_str().as_bytes().to_vec(),
            optional(&self.reference),
            optional(&self.description),
            optional(&self.metadata),
        ];
        BodyDigest::of_parts(parts.iter().map(Vec::as_slice))
    }

    /// Canonical JSON: keys sorted at every depth, no white space.
    pub fn canonical_metadata(object: &serde_json::Map<String, Value>) -> String {
        let mut text = String::new();
        write_object(object, &mut text);
        text
    }
}

fn write_object(object: &serde_json::Map<String, Value>, text: &mut String) {
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort_unstable();
    text.push('{');
    for (place, key) in keys.into_iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        write_value(&object[key], text);
    }
    text.push('}');
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => write_object(object, text),
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> PaymentBody {
        PaymentBody {
            payer: AccountId::from_bytes([1; 16]),
            payee: AccountId::from_bytes([2; 16]),
            amount: 2933,
            currency: "USD".parse().unwrap(),
            reference: Some("r".into()),
            description: None,
            metadata: None,
        }
    }

    #[test]
    fn every_field_counts() {
        let changes: [fn(&mut PaymentBody); 7] = [
            |b| b.payer = AccountId::from_bytes([3; 16]),
            |b| b.payee = AccountId::from_bytes([3; 16]),
            |b| b.amount += 1,
            |b| b.currency = "EUR".parse().unwrap(),
            |b| b.reference = None,
            |b| b.description = Some(String::new()),
            |b| b.metadata = Some("{}".into()),
        ];
        for change in changes {
            let mut other = body();
            change(&mut other);
            assert_ne!(other.digest(), body().digest());
        }
    }

    #[test]
    fn metadata_is_canonical_at_every_depth() {
        let parse = |text: &str| match serde_json::from_str(text).unwrap() {
            Value::Object(object) => PaymentBody::canonical_metadata(&object),
            _ => unreachable!(),
        };
        assert_eq!(
            parse(r#"{"b":[{"d":1,"c":2}], "a":"x"}"#),
            parse(r#"{"a":"x","b":[{"c":2,"d":1}]}"#)
        );
        assert_eq!(parse(r#"{"b":1,"a":null}"#), r#"{"a":null,"b":1}"#);
    }
}
