//! What a reconciliation asks Elasticsearch: the documents of a range of ids, the same as last
//! written, those whose ids are no order's, and dead letters.
//!
//! Documents are read whole and added up here: the index has no checksums, and a cluster may be
//! without a language for scripts. A range is one request without a sort, the cheapest way to read.

use cdc_sync::index::dead_letter_index;
use cdc_sync::search_client::{SearchClient, SearchError};
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use service::search::SearchSettings;
use std::collections::HashMap;
use store::reconcile::{IdRange, Settled};

/// Most hits of one answer: the servers' own default.
const HITS_MAX: usize = 10_000;
/// How many documents a range should have, so that none has too many.
const DOCUMENTS_PER_RANGE: u64 = 2_500;
/// Most documents that are shown although their ids are no order's.
const STRAYS_MAX: usize = 1_000;

/// Elasticsearch did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
#[error("Elasticsearch: {0}")]
pub struct NotAnswered(#[from] pub SearchError);

/// The index of orders, to be read by ranges.
pub struct SearchRanges {
    /// Asks, and also writes for whoever may.
    pub client: SearchClient,
}

/// A document as the index holds it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Found {
    /// Its `_id`.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its `_version`, which the follower sets to the row's.
    #[serde(rename = "_version", default)]
    pub version: u64,
    /// Its fields; null where there is no document.
    #[serde(rename = "_source", default)]
    pub source: Value,
}

#[derive(Deserialize)]
struct Page {
    hits: Hits,
    #[serde(default)]
    timed_out: bool,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Found>,
}

#[derive(Deserialize)]
struct Documents {
    docs: Vec<MaybeFound>,
}

#[derive(Deserialize)]
struct MaybeFound {
    #[serde(flatten)]
    found: Found,
    /// Then it is not known whether there is one.
    error: Option<Value>,
}

impl SearchRanges {
    /// The index that the settings name.
    pub fn new(settings: &SearchSettings) -> Result<Self, NotAnswered> {
        let client = SearchClient::new(settings)?;
        Ok(Self { client })
    }

    /// Ranges that together hold all documents, each small enough for one request.
    pub async fn ranges(&self) -> Result<Vec<IdRange>, NotAnswered> {
        let path = format!("/{}/_count", self.client.names().alias);
        let answer = self.client.json(Method::GET, &path, None).await?;
        let count = answer["count"].as_u64();
        let count = count.ok_or_else(|| SearchError::Definite(format!("no count: {answer}")))?;
        Ok(IdRange::all_of(digits(count)).collect())
    }

    /// The settled documents of a range, as last refreshed.
    pub async fn documents(
        &self,
        range: IdRange,
        settled: Settled,
    ) -> Result<Vec<Found>, NotAnswered> {
        let (mut left, mut documents) = (vec![range], Vec::new());
        while let Some(range) = left.pop() {
            let page = self.search(&in_range(range, settled), HITS_MAX).await?;
            match range.cut() {
                Some(parts) if page.len() >= HITS_MAX => left.extend(parts),
                Some(_) | None => documents.extend(page),
            }
        }
        Ok(documents)
    }

    /// Documents whose ids are no order's, at most a thousand.
    pub async fn strays(&self) -> Result<Vec<Found>, NotAnswered> {
        let orders = json!({ "range": { "order_id": {
            "gte": IdRange::ALL.first(), "lte": IdRange::ALL.last() } } });
        let query = json!({ "bool": { "must_not": [orders] } });
        self.search(&query, STRAYS_MAX).await
    }

    /// The documents of these ids, in the order asked; as last written, not as last refreshed.
    pub async fn get(&self, ids: &[String]) -> Result<Vec<Option<Found>>, NotAnswered> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let path = format!("/{}/_mget", self.client.names().alias);
        let query = json!({ "ids": ids });
        let answer = self.client.json(Method::POST, &path, Some(&query)).await?;
        let answer: Documents = read(answer)?;
        let found = |document: MaybeFound| match document.error {
            Some(error) => Err(SearchError::Transient(error.to_string()).into()),
            None => Ok(Some(document.found).filter(|found| !found.source.is_null())),
        };
        answer.docs.into_iter().map(found).collect()
    }

    /// Why the follower could not index these orders, where it left a dead letter.
    pub async fn dead_letters(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, String>, NotAnswered> {
        let index = dead_letter_index(self.client.names());
        let query = json!({
            "size": HITS_MAX, "query": { "terms": { "order_id": ids } },
            "sort": [{ "failed_at": "asc" }], "track_total_hits": false,
        });
        let path = format!("/{index}/_search?ignore_unavailable=true");
        let answer = self.client.json(Method::POST, &path, Some(&query)).await?;
        let page: Page = read(answer)?;
        let letter = |found: Found| {
            let text = |field: &str| Some(found.source[field].as_str()?.to_owned());
            Some((text("order_id")?, text("reason")?))
        };
        Ok(page.hits.hits.into_iter().filter_map(letter).collect())
    }

    async fn search(&self, query: &Value, size: usize) -> Result<Vec<Found>, NotAnswered> {
        let body = json!({
            "size": size, "query": query, "sort": ["_doc"],
            "version": true, "track_total_hits": false,
        });
        // Half an answer would look like missing documents.
        let path = format!(
            "/{}/_search?allow_partial_search_results=false",
            self.client.names().alias
        );
        let answer = self.client.json(Method::POST, &path, Some(&body)).await?;
        let page: Page = read(answer)?;
        match page.timed_out {
            true => Err(SearchError::Transient("a search timed out".to_owned()).into()),
            false => Ok(page.hits.hits),
        }
    }
}

fn in_range(range: IdRange, settled: Settled) -> Value {
    let ids = json!({ "range": { "order_id": { "gte": range.first(), "lte": range.last() } } });
    let mut filter = vec![ids];
    // A document without the field would be left out.
    if settled.since > DateTime::UNIX_EPOCH {
        filter.push(json!({ "range": { "created_at": { "gte": time(settled.since) } } }));
    }
    let young = json!({ "range": { "updated_at": {
        "gte": time(settled.until), "lt": time(settled.young_until()) } } });
    json!({ "bool": { "filter": filter, "must_not": [young] } })
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn read<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, SearchError> {
    serde_json::from_value(answer)
        .map_err(|error| SearchError::Definite(format!("the answer cannot be read: {error}")))
}

/// How many digits the ids of a range share, so that it has few enough of so many documents.
fn digits(documents: u64) -> u8 {
    let is_enough = |digits: &u8| documents >> (4 * digits) <= DOCUMENTS_PER_RANGE;
    (1..=5).find(is_enough).unwrap_or(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_as_many_as_the_documents_need() {
        assert_eq!((digits(0), digits(40_000)), (1, 1));
        assert_eq!(digits(50_000), 2);
        assert_eq!(digits(100_000_000), 4);
        assert_eq!(digits(u64::MAX), 5);
    }

    #[test]
    fn documents_without_a_time_of_making_are_left_out_only_when_that_is_asked_for() {
        let settled = |since| Settled {
            since,
            until: DateTime::UNIX_EPOCH,
        };
        let filters = |since| {
            let query = in_range(IdRange::ALL, settled(since));
            query["bool"]["filter"].as_array().unwrap().len()
        };
        assert_eq!(filters(DateTime::UNIX_EPOCH), 1);
        assert_eq!(filters(DateTime::from_timestamp(1, 0).unwrap()), 2);
    }
}
