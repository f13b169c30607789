//! What an operator asks Elasticsearch: documents by id, documents in order of their ids, and how
//! fresh the index is.

use crate::settings::Settings;
use chrono::{DateTime, Utc};
use domain::{ShardName, StoreKind};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use service::search::SearchSettings;

/// The index of orders.
#[derive(Clone)]
pub struct SearchIndex {
    http: Client,
    settings: SearchSettings,
    /// The follower keeps a document under each one's name.
    order_shards: Vec<String>,
}

/// Why the index did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Not reached, or not in time.
    #[error("elasticsearch does not answer: {0}")]
    Unreachable(#[from] reqwest::Error),
    /// The authority's file cannot be read.
    #[error("search.ca_file: {0}")]
    CaFile(#[from] std::io::Error),
    /// It answered something else.
    #[error("elasticsearch answered {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        body: String,
    },
    /// It could not read one of the documents.
    #[error("elasticsearch cannot read a document: {0}")]
    Unread(Value),
    /// The answer does not have the expected form.
    #[error("elasticsearch's answer cannot be read: {0}")]
    Form(#[from] serde_json::Error),
}

/// An order as the index has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Document {
    /// The order's id in its shown form.
    pub order_id: String,
    /// The shown status.
    pub status: String,
    /// Why cancelled.
    #[serde(default)]
    pub reason: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// Minor units.
    pub captured: i64,
    /// Minor units.
    pub refunded: i64,
    /// The code.
    pub currency: String,
    /// The row's version when it was indexed.
    pub version: u64,
}

#[derive(Deserialize)]
struct Found<T> {
    docs: Vec<MaybeDocument<T>>,
}

#[derive(Deserialize)]
struct MaybeDocument<T> {
    #[serde(rename = "_source")]
    source: Option<T>,
    /// Then it is not known whether there is one.
    error: Option<Value>,
}

impl<T> Found<T> {
    /// The documents in the order asked; one that could not be read is an error, not absent.
    fn sources(self) -> Result<Vec<Option<T>>, SearchError> {
        let source = |doc: MaybeDocument<T>| match doc.error {
            Some(error) => Err(SearchError::Unread(error)),
            None => Ok(doc.source),
        };
        self.docs.into_iter().map(source).collect()
    }
}

#[derive(Deserialize)]
struct Page<T> {
    hits: Hits<T>,
}

#[derive(Deserialize)]
struct Hits<T> {
    hits: Vec<Hit<T>>,
}

#[derive(Deserialize)]
struct Hit<T> {
    #[serde(rename = "_source")]
    source: T,
}

#[derive(Deserialize)]
struct Follower {
    as_of: DateTime<Utc>,
}

/// How many documents one page of a scan has.
const PAGE: usize = 1_000;

impl SearchIndex {
    /// The index that the settings name.
    pub fn new(settings: &Settings) -> Result<Self, SearchError> {
        let order_urls = settings.stores.urls(StoreKind::Orders);
        let settings = &settings.search;
        let mut builder = Client::builder().timeout(settings.request_timeout());
        if let Some(path) = &settings.ca_file {
            let authority = reqwest::Certificate::from_pem(&std::fs::read(path)?)?;
            builder = builder.add_root_certificate(authority);
        }
        Ok(Self {
            http: builder.build()?,
            settings: settings.clone(),
            order_shards: (0..).zip(order_urls).map(|(n, _)| order_shard(n)).collect(),
        })
    }

    /// The documents of these ids, in the order asked; as last written, not as last refreshed.
    pub async fn get(&self, ids: &[String]) -> Result<Vec<Option<Document>>, SearchError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let path = format!("/{}/_mget", self.settings.alias);
        let answer = self
            .ask(Method::POST, &path, &json!({ "ids": ids }))
            .await?;
        let found: Found<Document> = serde_json::from_value(answer)?;
        found.sources()
    }

    /// The next page of documents, by id, after this one; empty at the end.
    pub async fn page_after(&self, after: Option<&str>) -> Result<Vec<Document>, SearchError> {
        let mut query = json!({
            "size": PAGE,
            "query": { "match_all": {} },
            "sort": [{ "order_id": "asc" }],
            "track_total_hits": false,
        });
        if let Some(after) = after {
            query["search_after"] = json!([after]);
        }
        let path = format!("/{}/_search", self.settings.alias);
        let answer = self.ask(Method::POST, &path, &query).await?;
        let page: Page<Document> = serde_json::from_value(answer)?;
        Ok(page.hits.hits.into_iter().map(|hit| hit.source).collect())
    }

    /// Up to when everything committed is in the index; none while a shard was never followed.
    pub async fn as_of(&self) -> Result<Option<DateTime<Utc>>, SearchError> {
        let path = format!("/{}/_mget", self.settings.follower_index);
        let query = json!({ "ids": self.order_shards });
        let answer = self.ask(Method::POST, &path, &query).await?;
        let found: Found<Follower> = serde_json::from_value(answer)?;
        let followers = match found.sources() {
            Err(SearchError::Unread(error)) if is_no_index(&error) => return Ok(None),
            followers => followers?.into_iter(),
        };
        let times: Option<Vec<DateTime<Utc>>> = followers.map(|doc| Some(doc?.as_of)).collect();
        let oldest = times.and_then(|times| times.into_iter().min());
        Ok(oldest.filter(|oldest| *oldest > DateTime::UNIX_EPOCH))
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, SearchError> {
        let url = format!("{}{path}", self.settings.url.trim_end_matches('/'));
        let mut request = self.http.request(method, url).json(body);
        if let Some(username) = &self.settings.username {
            request = request.basic_auth(username, Some(self.settings.password.expose()));
        }
        let response = request.send().await?;
        let status = response.status();
        let body = response.text().await?;
        if !status.is_success() {
            return Err(SearchError::Refused { status, body });
        }
        Ok(serde_json::from_str(&body)?)
    }
}

fn is_no_index(error: &Value) -> bool {
    error["type"] == "index_not_found_exception"
}

fn order_shard(index: u16) -> String {
    let store = StoreKind::Orders;
    ShardName { store, index }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(docs: Value) -> Result<Vec<Option<Follower>>, SearchError> {
        let found: Found<Follower> = serde_json::from_value(json!({ "docs": docs })).unwrap();
        found.sources()
    }

    #[test]
    fn a_document_that_could_not_be_read_is_an_error_and_not_absent() {
        let there = json!({ "found": true, "_source": { "as_of": "2026-11-21T09:05:07Z" } });
        let absent = json!({ "found": false });
        let known = sources(json!([there, absent])).unwrap();
        assert_eq!((known[0].is_some(), known[1].is_some()), (true, false));
        let failed = json!({ "error": { "type": "no_shard_available_action_exception" } });
        let error = sources(json!([there, failed])).err().unwrap();
        assert!(error.to_string().contains("no_shard_available"), "{error}");
        assert!(is_no_index(&json!({ "type": "index_not_found_exception" })));
        assert!(!is_no_index(&failed["error"]));
    }
}
