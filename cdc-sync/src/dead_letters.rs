//! The changes that could not become documents, for an operator: what is kept of each, and how one is
//! let go once its order is in the index.
//!
//! A letter is removed only in the state in which it was looked at: the follower may keep another one
//! of the same version at any time, and that one stays.

use crate::batch::DeadLetter;
use crate::bulk;
use crate::index::dead_letter_index;
use crate::search_client::{SearchClient, SearchError};
use bytes::Bytes;
use domain::OrderId;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One kept change.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct KeptLetter {
    /// Which order.
    pub order_id: OrderId,
    /// Its shard.
    pub shard: String,
    /// The row's version, as text: it may be what does not fit.
    pub version: String,
    /// Why it could not be a document.
    pub reason: String,
    /// When, RFC 3339.
    pub failed_at: String,
    /// What was refused, where there is anything to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
    /// Which state of the letter this is.
    #[serde(skip)]
    state: State,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    id: String,
    seq_no: u64,
    primary_term: u64,
}

impl KeptLetter {
    /// Whether a document of this version says what this letter could not, or something newer.
    pub fn is_superseded_by(&self, version: u64) -> bool {
        let own: Option<u64> = self.version.parse().ok();
        own.is_some_and(|own| own <= version)
    }
}

/// In which order letters are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sorting {
    /// The newest failures first.
    Newest,
    /// By order, the letters of one order one after the other.
    ByOrder,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq)]
pub struct After(Value);

/// Makes findable what was kept until now.
pub async fn refresh(client: &SearchClient) -> Result<(), SearchError> {
    let path = format!("/{}/_refresh", dead_letter_index(client.names()));
    client.json(Method::POST, &path, None).await.map(drop)
}

/// The next letters, of these orders if any are named, and where to go on; without that it was the last.
pub async fn page(
    client: &SearchClient,
    orders: &[OrderId],
    sorting: Sorting,
    after: Option<&After>,
    size: usize,
) -> Result<(Vec<KeptLetter>, Option<After>), SearchError> {
    let path = format!(
        "/{}/_search?allow_partial_search_results=false",
        dead_letter_index(client.names())
    );
    let body = query(orders, sorting, after, size);
    let mut answer = client.json(Method::POST, &path, Some(&body)).await?;
    let hits = answer["hits"]["hits"].take();
    let hits: Vec<Value> = serde_json::from_value(hits).map_err(|e| unreadable(&e))?;
    let after = match hits.last() {
        Some(last) if hits.len() == size => Some(After(last["sort"].clone())),
        Some(_) | None => None,
    };
    let letters = hits.into_iter().map(letter);
    Ok((letters.collect::<Result<_, _>>()?, after))
}

/// Removes letters that are still in the state in which they were read; answers how many.
pub async fn remove(client: &SearchClient, letters: &[KeptLetter]) -> Result<usize, SearchError> {
    if letters.is_empty() {
        return Ok(0);
    }
    let line = |letter: &KeptLetter| {
        let State {
            id,
            seq_no,
            primary_term,
        } = &letter.state;
        let action = json!({ "delete": {
            "_id": id, "if_seq_no": seq_no, "if_primary_term": primary_term,
        }});
        format!("{action}\n")
    };
    let lines: String = letters.iter().map(line).collect();
    let path = bulk::index_path(&dead_letter_index(client.names()));
    let answer = client.bulk(&path, Bytes::from(lines)).await?;
    removed(&answer, letters.len())
}

/// Keeps letters, in place of those of the same orders and versions.
pub async fn keep(client: &SearchClient, letters: &[DeadLetter]) -> Result<(), SearchError> {
    if letters.is_empty() {
        return Ok(());
    }
    let lines =
        bulk::encode_dead_letters(letters).map_err(|e| SearchError::Definite(e.to_string()))?;
    let path = bulk::index_path(&dead_letter_index(client.names()));
    let answer = client.bulk(&path, lines).await?;
    bulk::ensure_written(&answer, letters.len())
}

fn query(orders: &[OrderId], sorting: Sorting, after: Option<&After>, size: usize) -> Value {
    let query = match orders {
        [] => json!({ "match_all": {} }),
        orders => json!({ "terms": { "order_id": orders } }),
    };
    let sort = match sorting {
        Sorting::Newest => json!([
            { "failed_at": { "order": "desc", "format": "strict_date_optional_time_nanos" } },
            { "order_id": "asc" }, { "version": "asc" },
        ]),
        Sorting::ByOrder => json!([{ "order_id": "asc" }, { "version": "asc" }]),
    };
    let mut body = json!({
        "size": size, "query": query, "sort": sort, "seq_no_primary_term": true,
        "track_total_hits": false,
    });
    if let Some(After(after)) = after {
        body["search_after"] = after.clone();
    }
    body
}

fn letter(mut hit: Value) -> Result<KeptLetter, SearchError> {
    let state = State {
        id: hit["_id"].as_str().unwrap_or_default().to_owned(),
        seq_no: hit["_seq_no"].as_u64().unwrap_or(u64::MAX),
        primary_term: hit["_primary_term"].as_u64().unwrap_or(u64::MAX),
    };
    let letter = serde_json::from_value::<KeptLetter>(hit["_source"].take());
    let letter = letter.map_err(|error| unreadable(&error))?;
    Ok(KeptLetter { state, ..letter })
}

fn unreadable(cause: &dyn std::fmt::Display) -> SearchError {
    SearchError::Definite(format!("the dead letters cannot be read: {cause}"))
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    delete: Deleted,
}

#[derive(Deserialize)]
struct Deleted {
    status: u16,
    #[serde(default)]
    error: Value,
}

/// One that somebody else has replaced, or removed, meanwhile is not removed here.
fn removed(answer: &[u8], requested: usize) -> Result<usize, SearchError> {
    let transient = |text: String| Err(SearchError::Transient(text));
    let answer: Answer = match serde_json::from_slice(answer) {
        Ok(answer) => answer,
        Err(error) => return transient(format!("the answer to a bulk cannot be read: {error}")),
    };
    let found = answer.items.len();
    if found != requested {
        return transient(format!("{found} items for {requested} deletes"));
    }
    let mut removed = 0;
    for Item { delete } in answer.items {
        let text = || format!("status {}: {}", delete.status, delete.error);
        match delete.status {
            200..=299 => removed += 1,
            404 | 409 => {}
            408 | 429 | 500..=599 => return transient(text()),
            _ => return Err(SearchError::Definite(text())),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(version: &str) -> KeptLetter {
        let order = format!("ord_{}", "ab".repeat(16));
        letter(json!({
            "_id": "x", "_seq_no": 7, "_primary_term": 1,
            "_source": {
                "order_id": order, "shard": "orders-0", "version": version, "reason": "too long",
                "failed_at": "2026-11-21T09:05:07Z",
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_letter_is_superseded_by_its_own_version_or_a_newer_one() {
        let letter = kept("3");
        assert!(!letter.is_superseded_by(2));
        assert!(letter.is_superseded_by(3) && letter.is_superseded_by(4));
        assert!(!kept("what is no number").is_superseded_by(u64::MAX));
        assert!(!kept("18446744073709551615").is_superseded_by(4));
    }

    #[test]
    fn a_letter_knows_the_state_it_was_read_in() {
        let State {
            id,
            seq_no,
            primary_term,
        } = kept("3").state;
        assert_eq!((id.as_str(), seq_no, primary_term), ("x", 7, 1));
        assert!(letter(json!({ "_id": "x", "_source": {} })).is_err());
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended_and_names_orders_if_asked() {
        let all = query(&[], Sorting::ByOrder, None, 10);
        assert_eq!(all["query"], json!({ "match_all": {} }));
        assert!(all["search_after"].is_null() && all["seq_no_primary_term"] == true);
        let after = After(json!(["ord_1", "3"]));
        let order = kept("3").order_id;
        let next = query(&[order], Sorting::Newest, Some(&after), 10);
        assert_eq!(next["search_after"], json!(["ord_1", "3"]));
        assert_eq!(next["query"]["terms"]["order_id"], json!([order]));
    }

    #[test]
    fn what_was_replaced_meanwhile_is_not_counted_as_removed() {
        let items = |statuses: &[u16]| {
            let item = |status| json!({ "delete": { "status": status } });
            let items: Vec<Value> = statuses.iter().map(item).collect();
            json!({ "errors": true, "items": items }).to_string()
        };
        let of = |statuses: &[u16]| removed(items(statuses).as_bytes(), statuses.len());
        assert_eq!(of(&[200, 409, 404]), Ok(1));
        assert!(of(&[200, 429]).unwrap_err().is_transient());
        assert!(!of(&[403]).unwrap_err().is_transient());
        assert!(removed(items(&[200]).as_bytes(), 2).is_err());
        assert!(removed(b"<html>", 1).is_err());
    }
}
