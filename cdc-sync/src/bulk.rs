//! The bulk request and what its answer means, item by item: pure.

use crate::batch::DeadLetter;
use crate::rendered_document::RenderedDocument;
use crate::search_client::SearchError;
use bytes::Bytes;
use serde::Deserialize;
use std::borrow::Borrow;

/// The answer is cut to what is read here.
const ANSWER: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

/// More than an action line takes.
const ACTION_BYTES: usize = 120;

/// The path of a bulk into an alias. A missing alias is an error, never a new index with guessed types.
pub fn path(alias: &str) -> String {
    format!("/{alias}/_bulk?require_alias=true&{ANSWER}")
}

/// The path of a bulk into an index that is no alias.
pub fn index_path(index: &str) -> String {
    format!("/{index}/_bulk?{ANSWER}")
}

/// The request that writes each document unless the index holds a newer version.
pub fn encode(documents: &[impl Borrow<RenderedDocument>]) -> Bytes {
    use std::io::Write;
    let documents = documents.iter().map(Borrow::borrow);
    let size = documents.clone().map(|d| ACTION_BYTES + d.json.len()).sum();
    let mut lines = Vec::with_capacity(size);
    for document in documents {
        // Writing to a Vec cannot fail.
        let _ = writeln!(
            lines,
            r#"{{"index":{{"_id":"{}","version":{},"version_type":"external_gte"}}}}"#,
            document.order_id, document.version
        );
        lines.extend_from_slice(&document.json);
        lines.push(b'\n');
    }
    lines.into()
}

/// The request that keeps dead letters. The same change again is the same letter.
pub fn encode_dead_letters(letters: &[DeadLetter]) -> Result<Bytes, serde_json::Error> {
    use std::io::Write;
    let mut lines = Vec::new();
    for letter in letters {
        // Writing to a Vec cannot fail.
        let _ = writeln!(
            lines,
            r#"{{"index":{{"_id":"{}-{}"}}}}"#,
            letter.order_id, letter.version
        );
        serde_json::to_writer(&mut lines, letter)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Written.
    Written,
    /// Not written, because something newer is there: as good.
    Newer,
    /// Overload or outage: the same again, later.
    Transient(String),
    /// This document will never fit: a dead letter.
    Rejected(String),
    /// Nothing will be written until somebody mends it.
    Fatal(String),
}

#[derive(Deserialize)]
struct Answer {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "create")]
    index: ItemResult,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    error: Option<ItemError>,
}

#[derive(Deserialize, Default)]
struct ItemError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
}

/// An answer that cannot be matched to the request.
#[derive(Debug, thiserror::Error)]
#[error("the answer to a bulk cannot be read: {0}")]
pub struct BadAnswer(String);

/// The outcome of each item, in the request's order.
pub fn outcomes(answer: &[u8], requested: usize) -> Result<Vec<Outcome>, BadAnswer> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|error| BadAnswer(error.to_string()))?;
    if answer.items.len() != requested {
        let found = answer.items.len();
        return Err(BadAnswer(format!(
            "{found} items for {requested} documents"
        )));
    }
    if !answer.errors {
        return Ok(vec![Outcome::Written; requested]);
    }
    Ok(answer
        .items
        .into_iter()
        .map(|item| outcome(item.index))
        .collect())
}

/// Whether everything asked for is in the index: for what is never refused as a document.
pub fn ensure_written(answer: &[u8], requested: usize) -> Result<(), SearchError> {
    let outcomes =
        outcomes(answer, requested).map_err(|error| SearchError::Transient(error.to_string()))?;
    for outcome in outcomes {
        match outcome {
            Outcome::Written | Outcome::Newer => {}
            Outcome::Transient(cause) => return Err(SearchError::Transient(cause)),
            Outcome::Rejected(cause) | Outcome::Fatal(cause) => {
                return Err(SearchError::Definite(cause));
            }
        }
    }
    Ok(())
}

fn outcome(result: ItemResult) -> Outcome {
    let error = result.error.unwrap_or_default();
    let text = format!("status {}, {}: {}", result.status, error.kind, error.reason);
    match result.status {
        200..=299 => Outcome::Written,
        409 if error.kind == "version_conflict_engine_exception" => Outcome::Newer,
        408 | 429 | 500..=599 => Outcome::Transient(text),
        400 | 413 if is_about_the_document(&error.kind) => Outcome::Rejected(text),
        _ => Outcome::Fatal(text),
    }
}

/// Mapping conflicts, unknown fields, values too large: the document's fault, not the index's.
fn is_about_the_document(kind: &str) -> bool {
    const KINDS: [&str; 6] = [
        "mapper_parsing_exception",
        "document_parsing_exception",
        "strict_dynamic_mapping_exception",
        "illegal_argument_exception",
        "parsing_exception",
        "max_bytes_length_exceeded_exception",
    ];
    KINDS.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(status: u16, kind: &str) -> Outcome {
        let answer = format!(
            r#"{{"errors":true,"items":[{{"index":{{"status":{status},"error":{{"type":"{kind}","reason":"r"}}}}}}]}}"#
        );
        outcomes(answer.as_bytes(), 1).unwrap().remove(0)
    }

    #[test]
    fn each_item_is_written_newer_transient_rejected_or_fatal() {
        assert_eq!(
            one(409, "version_conflict_engine_exception"),
            Outcome::Newer
        );
        for (status, kind) in [
            (429, "es_rejected_execution_exception"),
            (429, "circuit_breaking_exception"),
            (503, "unavailable_shards_exception"),
            (504, "timeout"),
        ] {
            assert!(
                matches!(one(status, kind), Outcome::Transient(_)),
                "{status} {kind}"
            );
        }
        for kind in [
            "document_parsing_exception",
            "strict_dynamic_mapping_exception",
        ] {
            assert!(matches!(one(400, kind), Outcome::Rejected(_)), "{kind}");
        }
        for (status, kind) in [
            (400, "index_closed_exception"),
            (401, "security_exception"),
            (403, "cluster_block_exception"),
            (404, "index_not_found_exception"),
            (418, "something_new"),
        ] {
            assert!(
                matches!(one(status, kind), Outcome::Fatal(_)),
                "{status} {kind}"
            );
        }
    }

    #[test]
    fn a_good_answer_and_a_mixed_one_keep_the_requests_order() {
        let good =
            br#"{"errors":false,"items":[{"index":{"status":200}},{"index":{"status":201}}]}"#;
        assert_eq!(
            outcomes(good, 2).unwrap(),
            [Outcome::Written, Outcome::Written]
        );
        let mixed = br#"{"errors":true,"items":[{"index":{"status":201}},
            {"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":""}}}]}"#;
        assert_eq!(
            outcomes(mixed, 2).unwrap(),
            [Outcome::Written, Outcome::Newer]
        );
    }

    #[test]
    fn what_must_be_written_is_there_or_awaited_or_refused() {
        let one = |status: u16, kind: &str| {
            let answer = format!(
                r#"{{"errors":true,"items":[{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"r"}}}}}}]}}"#
            );
            ensure_written(answer.as_bytes(), 1)
        };
        assert_eq!(one(409, "version_conflict_engine_exception"), Ok(()));
        let overload = one(429, "es_rejected_execution_exception").unwrap_err();
        assert!(overload.is_transient());
        for (status, kind) in [
            (400, "strict_dynamic_mapping_exception"),
            (403, "cluster_block_exception"),
        ] {
            assert!(!one(status, kind).unwrap_err().is_transient(), "{kind}");
        }
        assert!(ensure_written(b"", 1).unwrap_err().is_transient());
    }

    #[test]
    fn an_answer_that_does_not_match_the_request_proves_nothing() {
        assert!(outcomes(br#"{"errors":false,"items":[]}"#, 1).is_err());
        assert!(outcomes(b"<html>", 1).is_err());
    }

    #[test]
    fn any_answer_is_as_many_outcomes_as_were_asked_for_or_an_error() {
        let good = br#"{"errors":true,"items":[{"index":{"status":201}},
            {"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}}]}"#;
        domain::mangled::each_mangled(&[good.to_vec()], |bytes| {
            if let Ok(outcomes) = outcomes(bytes, 2) {
                assert_eq!(outcomes.len(), 2);
            }
        });
    }
}
