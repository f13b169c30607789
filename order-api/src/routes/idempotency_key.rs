//! The `Idempotency-Key` header.

use crate::order_body::field;
use crate::problem::{Problem, ProblemKind};
use axum::http::HeaderMap;

const NAME: &str = "Idempotency-Key";

/// The key, where there must be one.
pub(super) fn required(headers: &HeaderMap) -> Result<&str, Problem> {
    optional(headers)?.ok_or_else(|| {
        Problem::new(
            ProblemKind::IdempotencyKeyMissing,
            "send a key of your own for each order, and the same one when you repeat it",
        )
        .with_errors(vec![field(NAME, "is required")])
    })
}

/// The key, if there is one.
pub(super) fn optional(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("must stand once"));
    }
    let key = value
        .to_str()
        .map_err(|_| invalid("must be visible ASCII characters"))?;
    domain::check_idempotency_key(key).map_err(|error| invalid(&error.to_string()))?;
    Ok(Some(key))
}

fn invalid(detail: &str) -> Problem {
    let text = format!("the key {detail}");
    Problem::new(ProblemKind::IdempotencyKeyInvalid, text).with_errors(vec![field(NAME, detail)])
}
