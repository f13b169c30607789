//! What is written down: who did it, and what it was. Pure.

use super::Action;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// How long each text of an entry may be: a longer one is replaced by its digest, so that nobody
/// avoids his entry by being long-winded.
const ACTOR_CHARS_MAX: usize = 200;
const OBJECT_CHARS_MAX: usize = 200;
const REQUEST_ID_CHARS_MAX: usize = 128;
const DETAIL_BYTES_MAX: usize = 4_096;
const FIELD_BYTES_MAX: usize = 512;

/// Which way somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Over HTTP, with a token.
    Api,
    /// With the operator's command, or another program on the stores.
    Command,
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// A token's subject, or user@host.
    pub actor: String,
    /// Which way.
    pub via: Via,
    /// The key and the id of the token, as `kid/jti`; none for the command.
    pub token: Option<String>,
    /// As in the header `x-request-id`; empty for the command.
    pub request_id: String,
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed<'a> {
    /// Whose business it is; none where it is an operator's, and touches them all.
    pub tenant: Option<&'a str>,
    /// What.
    pub action: Action,
    /// To what, such as `acct_...`.
    pub object: Cow<'a, str>,
    /// What else is to be known of it; never a secret.
    pub detail: Map<String, Value>,
}

/// The texts of an entry, each within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    pub tenant: String,
    pub actor: String,
    pub via: &'static str,
    pub action: &'static str,
    pub object: String,
    pub detail: String,
    pub request_id: String,
}

/// A detail of these fields.
pub fn detail<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let owned = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    owned.collect()
}

impl Via {
    /// As it stands in the trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Command => "command",
        }
    }
}

impl Author {
    /// A program on the stores, for whom nobody has said who asks.
    pub(crate) fn unnamed() -> Self {
        Self {
            actor: "unnamed".to_owned(),
            via: Via::Command,
            token: None,
            request_id: String::new(),
        }
    }
}

impl Texts {
    pub fn of(author: &Author, deed: &Deed<'_>) -> Self {
        let mut detail = deed.detail.clone();
        if let Some(token) = &author.token {
            detail.insert("token".to_owned(), token.as_str().into());
        }
        Self {
            tenant: deed.tenant.unwrap_or_default().to_owned(),
            actor: bounded(&author.actor, ACTOR_CHARS_MAX),
            via: author.via.as_str(),
            action: deed.action.as_str(),
            object: bounded(&deed.object, OBJECT_CHARS_MAX),
            detail: bounded_detail(detail, author.token.as_deref()),
            request_id: bounded(&author.request_id, REQUEST_ID_CHARS_MAX),
        }
    }
}

fn bounded(text: &str, chars_max: usize) -> String {
    match text.chars().count() <= chars_max {
        true => text.to_owned(),
        false => digest(text),
    }
}

/// Of a detail that is too long the long fields are told by their digests, or all of it where that does
/// not help; the token, which says who, stays.
fn bounded_detail(detail: Map<String, Value>, token: Option<&str>) -> String {
    let detail = Value::Object(detail);
    let text = detail.to_string();
    if text.len() <= DETAIL_BYTES_MAX {
        return text;
    }
    let shorter = shortened(detail).to_string();
    if shorter.len() <= DETAIL_BYTES_MAX {
        return shorter;
    }
    let mut short = Map::new();
    short.insert("too_long".to_owned(), digest(&text).into());
    short.insert("bytes".to_owned(), text.len().into());
    if let Some(token) = token {
        let token = bounded(token, ACTOR_CHARS_MAX);
        short.insert("token".to_owned(), token.into());
    }
    Value::Object(short).to_string()
}

/// The same with each long text or list in it replaced by its digest.
fn shortened(value: Value) -> Value {
    let text = value.to_string();
    match value {
        short if text.len() <= FIELD_BYTES_MAX => short,
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, shortened(field)))
            .collect(),
        _ => json!({ "too_long": digest(&text), "bytes": text.len() }),
    }
}

/// A text told by what only it comes to, for what must not be kept as it is.
pub fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(actor: &str, long: &str) -> Texts {
        let author = Author {
            actor: actor.to_owned(),
            via: Via::Api,
            token: Some("k/1".to_owned()),
            request_id: "r".to_owned(),
        };
        let mut detail = Map::new();
        detail.insert("said".to_owned(), long.into());
        let deed = Deed {
            tenant: Some("demo"),
            action: Action::OrdersExported,
            object: "search".into(),
            detail,
        };
        Texts::of(&author, &deed)
    }

    #[test]
    fn the_token_stands_in_the_detail() {
        let texts = texts("ada", "x");
        assert_eq!(texts.detail, r#"{"said":"x","token":"k/1"}"#);
        assert_eq!((texts.actor.as_str(), texts.via), ("ada", "api"));
    }

    #[test]
    fn only_what_is_long_is_told_by_its_digest() {
        let paid = vec!["paid"; 600];
        let fields = [
            ("merchant", json!("shop")),
            ("filters", json!({ "currency": ["USD"], "status": paid })),
        ];
        let text = bounded_detail(detail(fields), Some("k/1"));
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["merchant"], "shop");
        assert_eq!(read["filters"]["currency"], json!(["USD"]));
        assert_eq!(
            read["filters"]["status"]["bytes"],
            json!(paid).to_string().len()
        );
    }

    #[test]
    fn what_is_too_long_is_told_by_its_digest_and_fits() {
        let long = texts(&"ä".repeat(201), &"\u{1}".repeat(1_000));
        assert!(long.actor.starts_with("sha256:"), "{}", long.actor);
        assert!(long.detail.len() <= DETAIL_BYTES_MAX, "{}", long.detail);
        assert!(long.detail.contains("too_long") && long.detail.contains("k/1"));
        let other = texts(&"ö".repeat(201), &"\u{2}".repeat(1_000));
        assert_ne!((&long.actor, &long.detail), (&other.actor, &other.detail));
        assert_eq!(texts(&"ä".repeat(200), "x").actor, "ä".repeat(200));
    }
}
