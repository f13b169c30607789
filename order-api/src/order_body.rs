//! The body of `POST /v1/orders`, parsed into what the rest may rely on.

use crate::metadata::Metadata;
use crate::problem::{FieldError, Problem};
use domain::{
    AMOUNT_MAX, AccountId, Currency, DESCRIPTION_CHARS_MAX, METADATA_BYTES_MAX, PaymentBody,
    REFERENCE_CHARS_MAX, TextError, check_text, minor_units_in_range,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// An order to place: move an amount from the payer's account to the payee's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// The account that pays.
    #[schema(value_type = String, example = "acct_01890a5d7c3e7b1f8a2b4c6d8e0f1a2b")]
    payer: AccountId,
    /// The account that is paid; another one than the payer.
    #[schema(value_type = String, example = "acct_01890a5d7c3e7b1f8a2b4c6d8e0f1a2c")]
    payee: AccountId,
    /// Minor units of the currency, an integer.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 2933)]
    amount: i64,
    /// ISO 4217.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "USD")]
    currency: Currency,
    /// Your own name for it.
    #[schema(max_length = 128)]
    reference: Option<String>,
    /// For people; search finds words in it.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// Your own fields: an object of at most 16 KiB as JSON without white space. Its integers have
    /// at most 64 bits; write larger ones as text.
    #[schema(value_type = Option<serde_json::Value>)]
    metadata: Option<Metadata>,
}

impl TryFrom<NewOrder> for PaymentBody {
    type Error = Problem;

    /// Checks what the types cannot say, and names every field that is wrong.
    fn try_from(order: NewOrder) -> Result<Self, Problem> {
        let metadata = order.metadata.map(|m| Self::canonical_metadata(&m.0));
        let mut errors = Vec::new();
        if order.payer == order.payee {
            errors.push(field("/payee", "must differ from the payer"));
        }
        if !minor_units_in_range(order.amount) {
            errors.push(field("/amount", amount_rule()));
        }
        errors.extend(check(&order.reference, "/reference", REFERENCE_CHARS_MAX));
        errors.extend(check(
            &order.description,
            "/description",
            DESCRIPTION_CHARS_MAX,
        ));
        if metadata
            .as_ref()
            .is_some_and(|m| m.len() > METADATA_BYTES_MAX)
        {
            let detail = format!("must have at most {METADATA_BYTES_MAX} bytes as JSON");
            errors.push(field("/metadata", detail));
        }
        if !errors.is_empty() {
            return Err(Problem::fields(errors));
        }
        Ok(Self {
            payer: order.payer,
            payee: order.payee,
            amount: order.amount,
            currency: order.currency,
            reference: order.reference,
            description: order.description,
            metadata,
        })
    }
}

/// What an amount must be.
pub(crate) fn amount_rule() -> String {
    format!("must be an integer of minor units from 1 to {AMOUNT_MAX}")
}

pub(crate) fn field(pointer: &str, detail: impl Into<String>) -> FieldError {
    FieldError {
        pointer: pointer.to_owned(),
        detail: detail.into(),
    }
}

fn check(text: &Option<String>, pointer: &str, chars_max: usize) -> Option<FieldError> {
    let wrong: Result<(), TextError> = check_text(text.as_deref().unwrap_or(""), chars_max);
    wrong.err().map(|error| field(pointer, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::parse;
    use serde_json::{Value, json};

    fn order() -> Value {
        json!({
            "payer": format!("acct_{:032x}", 1), "payee": format!("acct_{:032x}", 2),
            "amount": 2933, "currency": "USD", "reference": "r-1",
            "metadata": { "b": 1, "a": { "d": [1, 2], "c": null } },
        })
    }

    fn read(text: &str) -> Result<PaymentBody, Problem> {
        PaymentBody::try_from(parse::<NewOrder>(text.as_bytes())?)
    }

    fn pointers(text: &str) -> Vec<String> {
        let body = read(text).unwrap_err().body("");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let errors = body["errors"].as_array().unwrap();
        let pointer = |error: &Value| error["pointer"].as_str().unwrap().to_owned();
        errors.iter().map(pointer).collect()
    }

    #[test]
    fn a_good_order_is_parsed_and_its_metadata_made_canonical() {
        let body = read(&order().to_string()).unwrap();
        assert_eq!(body.amount, 2933);
        let metadata = r#"{"a":{"c":null,"d":[1,2]},"b":1}"#;
        assert_eq!(body.metadata.as_deref(), Some(metadata));
    }

    #[test]
    fn every_bad_value_is_named_by_its_pointer() {
        let long = "x".repeat(20_000);
        let cases = [
            ("amount", json!(0)),
            ("amount", json!(-1)),
            ("amount", json!(29.33)),
            ("amount", json!(29.0)),
            ("amount", json!("2933")),
            ("amount", json!(null)),
            ("amount", json!(1_000_000_000_001_i64)),
            ("amount", json!(u64::MAX)),
            ("currency", json!("usd")),
            ("currency", json!("ZZZ")),
            ("currency", json!(1)),
            ("payer", json!(format!("ord_{:032x}", 1))),
            ("payer", json!("acct_1")),
            ("payee", json!(format!("acct_{:032x}", 1))),
            ("reference", json!("x".repeat(129))),
            ("reference", json!("a\u{0}b")),
            ("description", json!("x".repeat(1001))),
            ("description", json!(["x"])),
            ("metadata", json!([1])),
            ("metadata", json!("text")),
            ("metadata", json!({ "x": long })),
            ("unknown", json!(1)),
        ];
        for (name, value) in cases {
            let mut order = order();
            order[name] = value.clone();
            let named = pointers(&order.to_string());
            assert_eq!(named, [format!("/{name}")], "{name}: {value}");
        }
    }

    #[test]
    fn a_missing_or_repeated_field_is_named() {
        for name in ["payer", "payee", "amount", "currency"] {
            let mut order = order();
            order.as_object_mut().unwrap().remove(name);
            assert_eq!(pointers(&order.to_string()), [format!("/{name}")]);
        }
        let text = order().to_string().replacen('{', r#"{"amount":1,"#, 1);
        assert_eq!(pointers(&text), ["/amount"]);
        let text = order()
            .to_string()
            .replacen(r#""b":1"#, r#""b":1,"b":2"#, 1);
        assert!(pointers(&text)[0].starts_with("/metadata"));
    }

    #[test]
    fn a_number_in_the_metadata_that_would_become_another_is_named() {
        for number in ["10000000000000000000001", "18446744073709551616", "-1e400"] {
            let text = order()
                .to_string()
                .replacen("[1,2]", &format!("[1,{number}]"), 1);
            assert_eq!(pointers(&text), ["/metadata/a/d/1"], "{number}");
        }
        let digest = |number: &str| {
            let text = order()
                .to_string()
                .replacen("[1,2]", &format!("[1,{number}]"), 1);
            read(&text).unwrap().digest()
        };
        assert_ne!(
            digest("18446744073709551614"),
            digest("18446744073709551615")
        );
        assert_ne!(digest("0.1"), digest("2.5"));
    }

    #[test]
    fn several_bad_values_are_all_named() {
        let mut order = order();
        order["amount"] = json!(0);
        order["reference"] = json!("x".repeat(129));
        assert_eq!(pointers(&order.to_string()), ["/amount", "/reference"]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "[]", "null", "1", "{}x", "\u{feff}{}"] {
            assert!(read(text).is_err(), "{text}");
        }
        let twice = format!("{}{}", order(), order());
        assert!(read(&twice).is_err());
        assert!(parse::<NewOrder>(b"\xff").is_err());
    }

    #[test]
    fn any_body_is_an_order_or_names_a_field() {
        let bare = json!({
            "payer": format!("acct_{:032x}", 1), "payee": format!("acct_{:032x}", 2),
            "amount": 1, "currency": "JPY",
        });
        let good = [order(), bare].map(|body| body.to_string().into_bytes());
        domain::mangled::each_mangled(&good, |bytes| {
            let read = parse::<NewOrder>(bytes).and_then(PaymentBody::try_from);
            match read {
                Ok(body) => assert!(minor_units_in_range(body.amount)),
                Err(problem) => assert!(!problem.body("").is_empty()),
            }
        });
    }
}
