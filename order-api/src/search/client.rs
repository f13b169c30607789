//! Requests to Elasticsearch, bounded in time.

use super::results::{Page, read_page};
use chrono::{DateTime, Utc};
use domain::ShardName;
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use service::search::SearchSettings;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// It cannot be reached, is too busy, or has no index yet: later may help.
    #[error("search cannot answer now: {0}")]
    Unavailable(String),
    /// The point in time is gone.
    #[error("the point in time is gone")]
    PointInTimeGone,
    /// It does not understand us.
    #[error("search refuses the request: {0}")]
    Refused(String),
}

/// Asks Elasticsearch.
#[derive(Clone)]
pub(crate) struct SearchClient {
    http: Client,
    settings: SearchSettings,
    keep_alive_s: u64,
    /// The follower keeps a document under each one's name.
    order_shards: Vec<String>,
}

impl SearchClient {
    /// A client for these settings; `keep_alive_s` is how long a point in time is kept.
    pub(crate) fn new(
        settings: &SearchSettings,
        keep_alive_s: u64,
        order_shards: &[ShardName],
    ) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .timeout(settings.request_timeout())
            .connect_timeout(CONNECT_TIMEOUT.min(settings.request_timeout()))
            .no_proxy();
        if let Some(path) = &settings.ca_file {
            for authority in Certificate::from_pem_bundle(&std::fs::read(path)?)? {
                builder = builder.add_root_certificate(authority);
            }
        }
        Ok(Self {
            http: builder.build()?,
            settings: settings.clone(),
            keep_alive_s,
            order_shards: order_shards.iter().map(ShardName::to_string).collect(),
        })
    }

    /// How long a point in time is kept, in seconds.
    pub(crate) fn keep_alive_s(&self) -> u64 {
        self.keep_alive_s
    }

    /// Opens a point in time over the orders.
    pub(crate) async fn open_point_in_time(&self) -> Result<String, SearchError> {
        let (alias, keep_alive_s) = (&self.settings.alias, self.keep_alive_s);
        let path = format!("/{alias}/_pit?keep_alive={keep_alive_s}s");
        let answer = self.ask(Method::POST, &path, None).await?;
        let id = answer["id"].as_str();
        id.map(str::to_owned)
            .ok_or_else(|| SearchError::Refused("it opened no point in time".into()))
    }

    /// Gives a point in time back; what cannot be given back ends by itself.
    pub(crate) async fn close_point_in_time(&self, id: &str) {
        let body = json!({ "id": id });
        if let Err(error) = self.ask(Method::DELETE, "/_pit", Some(&body)).await {
            tracing::debug!(%error, "A point in time was not given back.");
        }
    }

    /// A page of the point in time that the query names; what only a part of the index could answer
    /// is no answer.
    pub(crate) async fn page(&self, query: &Value) -> Result<Page, SearchError> {
        let path = "/_search?allow_partial_search_results=false";
        let answer = self.ask(Method::POST, path, Some(query)).await?;
        read_page(answer).map_err(SearchError::Refused)
    }

    /// A search over the orders as they are now.
    pub(crate) async fn search(&self, query: &Value) -> Result<Value, SearchError> {
        let path = format!("/{}/_search", self.settings.alias);
        self.ask(Method::POST, &path, Some(query)).await
    }

    /// Up to when everything committed was in the index; none if it never was. Ask for it before
    /// the search it is to be said of.
    pub(crate) async fn as_of(&self) -> Result<Option<DateTime<Utc>>, SearchError> {
        let index = &self.settings.follower_index;
        let path = format!("/{index}/_mget?_source_includes=as_of");
        let query = json!({ "ids": self.order_shards });
        let answer = self.ask(Method::POST, &path, Some(&query)).await?;
        oldest(answer["docs"].as_array().map_or(&[], Vec::as_slice))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, SearchError> {
        let url = format!("{}{path}", self.settings.url.trim_end_matches('/'));
        let mut request = self.http.request(method, url);
        if let Some(user) = &self.settings.username {
            request = request.basic_auth(user, Some(self.settings.password.expose()));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let away = |error: reqwest::Error| SearchError::Unavailable(error.to_string());
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let text = response.text().await.map_err(away)?;
        if !status.is_success() {
            return Err(refusal(status, text));
        }
        serde_json::from_str(&text).map_err(|error| SearchError::Refused(error.to_string()))
    }
}

/// The oldest `as_of` of these documents; none if one of them is missing or was never followed.
fn oldest(documents: &[Value]) -> Result<Option<DateTime<Utc>>, SearchError> {
    let mut oldest = None;
    for document in documents {
        let error = document["error"].to_string();
        if !document["error"].is_null() && !is_no_index(&error) {
            return Err(SearchError::Unavailable(error));
        }
        let text = document["_source"]["as_of"].as_str().unwrap_or("");
        let as_of =
            DateTime::parse_from_rfc3339(text).map_or(DateTime::UNIX_EPOCH, |time| time.to_utc());
        oldest = Some(oldest.map_or(as_of, |oldest: DateTime<Utc>| oldest.min(as_of)));
    }
    Ok(oldest.filter(|time| *time > DateTime::UNIX_EPOCH))
}

fn refusal(status: StatusCode, text: String) -> SearchError {
    if text.contains("search_context_missing_exception") {
        return SearchError::PointInTimeGone;
    }
    let busy = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
    );
    if busy || status.is_server_error() || is_no_index(&text) {
        return SearchError::Unavailable(format!("{status}: {text}"));
    }
    SearchError::Refused(format!("{status}: {text}"))
}

fn is_no_index(text: &str) -> bool {
    text.contains("index_not_found_exception")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_of_is_the_oldest_of_all_shards_or_unknown() {
        let at =
            |second: u8| json!({ "_source": { "as_of": format!("2026-01-01T00:00:0{second}Z") } });
        let found =
            |documents: &[Value]| oldest(documents).unwrap().map(|time| time.timestamp() % 60);
        assert_eq!(found(&[at(2), at(1), at(3)]), Some(1));
        assert_eq!(found(&[at(2), json!({ "found": false })]), None);
        let error = |kind: &str| json!({ "error": { "type": kind } });
        assert_eq!(found(&[at(2), error("index_not_found_exception")]), None);
        assert!(oldest(&[at(2), error("no_shard_available_action_exception")]).is_err());
    }
}
