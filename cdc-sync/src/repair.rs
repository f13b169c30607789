//! Mends single documents for an operator who has compared them with their rows.
//!
//! What is written carries the row's version as its external version, as everything that the follower
//! writes does: it never replaces a newer document, and the follower goes on over it. A document is
//! deleted only in the version that was looked at. Where there is an index beside the one in use, the same
//! goes to both.

use crate::bulk::{self, Outcome};
use crate::document::Document;
use crate::index::{beside_alias, optional_index_behind};
use crate::rendered_document::RenderedDocument;
use crate::search_client::{SearchClient, SearchError};
use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

/// A document that has no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its `_id`.
    pub id: String,
    /// Its `_version`.
    pub version: u64,
}

/// Writes these documents in one bulk; answers what became of each, in order.
pub async fn write(
    client: &SearchClient,
    documents: &[Document],
) -> Result<Vec<Outcome>, SearchError> {
    let rendered = documents.iter().cloned().map(RenderedDocument::try_from);
    let rendered: Result<Vec<_>, _> = rendered.collect();
    let lines = bulk::encode(&rendered.map_err(|e| SearchError::Definite(e.to_string()))?);
    send(client, lines, documents.len()).await
}

/// Deletes these documents in one bulk; answers what became of each, in order. One that has a newer
/// version by now stays.
pub async fn delete(
    client: &SearchClient,
    orphans: &[Orphan],
) -> Result<Vec<Outcome>, SearchError> {
    send(client, encode_deletes(orphans), orphans.len()).await
}

/// Makes what was written visible to searches.
pub async fn refresh(client: &SearchClient) -> Result<(), SearchError> {
    let path = format!("/{}/_refresh", client.names().alias);
    client.json(Method::POST, &path, None).await.map(drop)
}

async fn send(
    client: &SearchClient,
    lines: Bytes,
    requested: usize,
) -> Result<Vec<Outcome>, SearchError> {
    if requested == 0 {
        return Ok(Vec::new());
    }
    let beside = beside_alias(client.names());
    let own = &client.names().alias;
    if optional_index_behind(client, &beside).await?.is_none() {
        return send_to(client, own, lines, requested).await;
    }
    let others = send_to(client, &beside, lines.clone(), requested).await?;
    let outcomes = send_to(client, own, lines, requested).await?;
    // It is mended where it is mended in both; something newer in the other is as good.
    let both = outcomes.into_iter().zip(others);
    Ok(both
        .map(|(outcome, other)| match (outcome, other) {
            (Outcome::Written, Outcome::Written | Outcome::Newer) => Outcome::Written,
            (Outcome::Written, other) => other,
            (
                Outcome::Newer,
                other @ (Outcome::Transient(_) | Outcome::Rejected(_) | Outcome::Fatal(_)),
            ) => other,
            (outcome, _) => outcome,
        })
        .collect())
}

async fn send_to(
    client: &SearchClient,
    alias: &str,
    lines: Bytes,
    requested: usize,
) -> Result<Vec<Outcome>, SearchError> {
    let path = bulk::path(alias);
    // The answers to writes and deletes differ in their names only.
    let path = path.replace("items.*.status", "items.*.result,items.*.status");
    let answer = client.bulk(&path, lines).await?;
    outcomes(&answer, requested).map_err(SearchError::Transient)
}

fn encode_deletes(orphans: &[Orphan]) -> Bytes {
    let line = |orphan: &Orphan| {
        let Orphan { id, version } = orphan;
        let action = json!({ "delete": {
            "_id": id, "version": version, "version_type": "external_gte",
        }});
        format!("{action}\n")
    };
    orphans.iter().map(line).collect::<String>().into()
}

fn outcomes(answer: &[u8], requested: usize) -> Result<Vec<Outcome>, String> {
    let mut answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let mut gone = Vec::new();
    for (place, item) in answer["items"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if let Some(item) = item.as_object_mut()
            && let Some(deleted) = item.remove("delete")
        {
            // Deleted by somebody else: as good.
            if deleted["result"] == "not_found" {
                gone.push(place);
            }
            item.insert("index".to_owned(), deleted);
        }
    }
    let answer = answer.to_string();
    let outcomes = bulk::outcomes(answer.as_bytes(), requested).map_err(|e| e.to_string())?;
    let outcome = |(place, outcome)| match gone.contains(&place) {
        true => Outcome::Written,
        false => outcome,
    };
    Ok(outcomes.into_iter().enumerate().map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_names_the_version_that_was_looked_at() {
        let orphan = Orphan {
            id: "ord_1".into(),
            version: 3,
        };
        let lines = encode_deletes(&[orphan]);
        let lines: Value = serde_json::from_slice(&lines).unwrap();
        let expected = json!({ "_id": "ord_1", "version": 3, "version_type": "external_gte" });
        assert_eq!(lines["delete"], expected);
    }

    #[test]
    fn a_delete_is_done_or_was_done_by_somebody_else_or_met_a_newer_version() {
        let answer = json!({ "errors": true, "items": [
            { "delete": { "result": "deleted", "status": 200 } },
            { "delete": { "result": "not_found", "status": 404 } },
            { "delete": { "status": 409, "error": {
                "type": "version_conflict_engine_exception", "reason": "r" } } },
        ]});
        let outcomes = outcomes(answer.to_string().as_bytes(), 3).unwrap();
        assert_eq!(
            outcomes,
            [Outcome::Written, Outcome::Written, Outcome::Newer]
        );
    }

    #[test]
    fn an_answer_that_does_not_match_the_request_proves_nothing() {
        assert!(outcomes(br#"{"errors":false,"items":[]}"#, 1).is_err());
        assert!(outcomes(b"<html>", 1).is_err());
    }
}
