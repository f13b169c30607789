//! The record on `payment.commands`: one payment to make. JSON value, key = the order id's text.

use crate::{
    AccountId, BodyDigest, Currency, DESCRIPTION_CHARS_MAX, Leg, LegKind, OrderId,
    REFERENCE_CHARS_MAX, check_scope_name, check_text, minor_units_in_range,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The value of the type header.
pub const COMMAND_TYPE: &str = "payment";
/// The value of the content type header.
pub const CONTENT_TYPE: &str = "application/json";
/// The newest schema version this code reads; a newer one is parked, not a dead letter.
pub const SCHEMA_VERSION: u32 = 1;
/// Most bytes of an order's metadata as canonical JSON.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// How long after its acceptance a command may first be tried, unless configured otherwise.
pub const NOT_AFTER_DEFAULT_MS: u64 = 24 * 60 * 60 * 1000;

/// The names of a command's headers.
pub mod headers {
    /// [`super::COMMAND_TYPE`].
    pub const TYPE: &str = "type";
    /// [`super::CONTENT_TYPE`].
    pub const CONTENT_TYPE: &str = "content-type";
    /// Decimal [`super::SCHEMA_VERSION`].
    pub const SCHEMA_VERSION: &str = "schema-version";
    /// W3C trace context of the request.
    pub const TRACEPARENT: &str = "traceparent";
    /// The API instance that waits for the outcome; its wake channel's name. Often absent.
    pub const WAKE: &str = "wake";
}

/// One payment to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentCommand {
    /// The order; equals the record's key.
    pub order_id: OrderId,
    /// Whose accounts these are.
    pub tenant: String,
    /// Who asked.
    pub merchant: String,
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// Minor units.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
    /// The merchant's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Canonical JSON of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// Tells two bodies under one key apart.
    pub body_digest: BodyDigest,
    /// When the API took it.
    pub accepted_at: DateTime<Utc>,
    /// First tried later than this, it ends cancelled as expired.
    pub not_after: DateTime<Utc>,
}

/// Why a record's value is not a payment command. Retrying will not help.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Not the JSON of a command.
    #[error("the value is not a payment command: {0}")]
    Json(#[from] serde_json::Error),
    /// A field breaks its rule.
    #[error("the field {field} {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl PaymentCommand {
    /// Reads and checks a record's value.
    pub fn parse(value: &[u8]) -> Result<Self, CommandError> {
        let command: Self = serde_json::from_slice(value)?;
        command.check()?;
        Ok(command)
    }

    /// The two legs, numbered 0 (debit the payer) and 1 (credit the payee).
    pub fn legs(&self) -> [Leg; 2] {
        let leg = |kind, account| Leg {
            kind,
            account,
            amount: self.amount,
        };
        [
            leg(LegKind::Debit, self.payer),
            leg(LegKind::Credit, self.payee),
        ]
    }

    fn check(&self) -> Result<(), CommandError> {
        let field = |field, problem: String| CommandError::Field { field, problem };
        check_scope_name(&self.tenant).map_err(|e| field("tenant", e.to_string()))?;
        check_scope_name(&self.merchant).map_err(|e| field("merchant", e.to_string()))?;
        if self.payer == self.payee {
            return Err(field("payee", "must differ from the payer".into()));
        }
        if !minor_units_in_range(self.amount) {
            return Err(field("amount", format!("is out of range: {}", self.amount)));
        }
        check_text(self.reference.as_deref().unwrap_or(""), REFERENCE_CHARS_MAX)
            .map_err(|e| field("reference", e.to_string()))?;
        check_text(
            self.description.as_deref().unwrap_or(""),
            DESCRIPTION_CHARS_MAX,
        )
        .map_err(|e| field("description", e.to_string()))?;
        match &self.metadata {
            Some(raw) if raw.get().len() > METADATA_BYTES_MAX => Err(field(
                "metadata",
                format!("has more than {METADATA_BYTES_MAX} bytes"),
            )),
            Some(raw) if !raw.get().starts_with('{') => {
                Err(field("metadata", "must be an object".into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> PaymentCommand {
        PaymentCommand {
            order_id: OrderId::from_bytes([9; 16]),
            tenant: "demo".into(),
            merchant: "shop".into(),
            payer: AccountId::from_bytes([1; 16]),
            payee: AccountId::from_bytes([2; 16]),
            amount: 2933,
            currency: "USD".parse().unwrap(),
            reference: Some("r-1".into()),
            description: None,
            metadata: Some(RawValue::from_string(r#"{"a":1}"#.into()).unwrap()),
            body_digest: BodyDigest::from_bytes([3; 32]),
            accepted_at: DateTime::UNIX_EPOCH,
            not_after: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_command_survives_the_log() {
        let text = serde_json::to_vec(&command()).unwrap();
        let read = PaymentCommand::parse(&text).unwrap();
        assert_eq!(serde_json::to_vec(&read).unwrap(), text);
    }

    type Change = fn(&mut PaymentCommand);

    #[test]
    fn a_bad_field_is_named() {
        let broken: [(Change, &str); 4] = [
            (|c| c.amount = 0, "amount"),
            (|c| c.payee = c.payer, "payee"),
            (|c| c.tenant = String::new(), "tenant"),
            (|c| c.reference = Some("x".repeat(129)), "reference"),
        ];
        for (change, name) in broken {
            let mut command = command();
            change(&mut command);
            let text = serde_json::to_vec(&command).unwrap();
            let error = PaymentCommand::parse(&text).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn any_bytes_are_a_command_that_survives_the_log_or_an_error() {
        let mut bare = command();
        (bare.reference, bare.metadata) = (None, None);
        let good = [command(), bare].map(|command| serde_json::to_vec(&command).unwrap());
        crate::mangled::each_mangled(&good, |bytes| {
            if let Ok(command) = PaymentCommand::parse(bytes) {
                let text = serde_json::to_vec(&command).unwrap();
                let again = PaymentCommand::parse(&text).unwrap();
                assert_eq!(serde_json::to_vec(&again).unwrap(), text);
            }
        });
    }
}
