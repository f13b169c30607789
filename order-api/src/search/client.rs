//! Requests to Elasticsearch, bounded in time.

use chrono::{DateTime, Utc};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use service::search::SearchSettings;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// More order shards than a follower follows.
const FOLLOWED_SHARDS_MAX: u32 = 1000;

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
}

impl SearchClient {
    /// A client for these settings; `keep_alive_s` is how long a point in time is kept.
    pub(crate) fn new(settings: &SearchSettings, keep_alive_s: u64) -> anyhow::Result<Self> {
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

    /// A search within the point in time that the query names.
    pub(crate) async fn search_point_in_time(&self, query: &Value) -> Result<Value, SearchError> {
        self.ask(Method::POST, "/_search", Some(query)).await
    }

    /// A search over the orders as they are now.
    pub(crate) async fn search(&self, query: &Value) -> Result<Value, SearchError> {
        let path = format!("/{}/_search", self.settings.alias);
        self.ask(Method::POST, &path, Some(query)).await
    }

    /// Up to when everything committed was in the index; none if it never was. Ask for it before
    /// the search it is to be said of.
    pub(crate) async fn as_of(&self) -> Result<Option<DateTime<Utc>>, SearchError> {
        let path = format!("/{}/_search", self.settings.follower_index);
        let query = json!({ "size": FOLLOWED_SHARDS_MAX, "_source": ["as_of"] });
        let answer = match self.ask(Method::POST, &path, Some(&query)).await {
            Err(SearchError::Unavailable(text)) if is_no_index(&text) => return Ok(None),
            answer => answer?,
        };
        let hits = answer["hits"]["hits"].as_array();
        let times = hits.into_iter().flatten().map(|hit| {
            let text = hit["_source"]["as_of"].as_str().unwrap_or("");
            DateTime::parse_from_rfc3339(text).map_or(DateTime::UNIX_EPOCH, |time| time.to_utc())
        });
        Ok(times.min().filter(|time| *time > DateTime::UNIX_EPOCH))
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
