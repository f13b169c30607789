//! Requests to Elasticsearch: one client, our own time-outs and error classes.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, Method};
use serde_json::Value;
use service::search::SearchSettings;

/// Asks Elasticsearch.
#[derive(Debug, Clone)]
pub struct SearchClient {
    http: Client,
    settings: SearchSettings,
}

/// Why a request failed, by consequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// Trying again helps: it is away, starting, overloaded.
    #[error("{0}")]
    Transient(String),
    /// It will not, until somebody mends it.
    #[error("{0}")]
    Definite(String),
}

impl SearchError {
    /// Whether trying again helps.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl From<SearchError> for crate::error::FollowError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Transient(text) => crate::error::Transient::Search(text).into(),
            SearchError::Definite(text) => crate::error::Definite::Search(text).into(),
        }
    }
}

impl SearchClient {
    /// A client for these settings. An authority that cannot be read is Definite.
    pub fn new(settings: &SearchSettings) -> Result<Self, SearchError> {
        let definite = |error: &dyn std::fmt::Display| SearchError::Definite(error.to_string());
        let mut builder = Client::builder()
            .timeout(settings.request_timeout())
            .connect_timeout(settings.request_timeout())
            .tcp_nodelay(true);
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).map_err(|error| {
                SearchError::Definite(format!("search.ca_file {}: {error}", path.display()))
            })?;
            for authority in Certificate::from_pem_bundle(&pem).map_err(|e| definite(&e))? {
                builder = builder.add_root_certificate(authority);
            }
        }
        Ok(Self {
            http: builder.build().map_err(|e| definite(&e))?,
            settings: settings.clone(),
        })
    }

    /// The names of the indices.
    pub fn names(&self) -> &SearchSettings {
        &self.settings
    }

    /// Sends JSON, or nothing; answers the JSON of a success.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, SearchError> {
        let body = body.map(|body| ("application/json", Bytes::from(body.to_string())));
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| SearchError::Transient(format!("the answer is not JSON: {error}")))
    }

    /// Sends lines of JSON to a bulk endpoint.
    pub async fn bulk(&self, path: &str, lines: Bytes) -> Result<Bytes, SearchError> {
        let body = Some(("application/x-ndjson", lines));
        self.send(Method::POST, path, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Bytes, SearchError> {
        let url = format!("{}{path}", self.settings.url.trim_end_matches('/'));
        let mut request = self.http.request(method, url);
        if let Some(username) = &self.settings.username {
            request = request.basic_auth(username, Some(self.settings.password.expose()));
        }
        if let Some((content_type, body)) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = answer.bytes().await.map_err(unreachable)?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(refusal(status, &text))
    }
}

/// The whole chain in one line: the outermost error alone says next to nothing.
fn unreachable(error: reqwest::Error) -> SearchError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    SearchError::Transient(text)
}

/// Reads a status that is no success. The body may be anything, also empty.
fn refusal(status: u16, body: &[u8]) -> SearchError {
    let text = describe(status, body);
    match status {
        408 | 429 | 500..=599 => SearchError::Transient(text),
        _ => SearchError::Definite(text),
    }
}

fn describe(status: u16, body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().map(|answer| &answer["error"]);
    let kind = error.and_then(|e| e["type"].as_str().or_else(|| e.as_str()));
    let reason = error.and_then(|e| e["reason"].as_str()).unwrap_or_default();
    match kind {
        Some(kind) => format!("status {status}, {kind}: {reason}"),
        None => {
            let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
            format!("status {status} {start}").trim_end().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_and_outage_are_transient_and_refusals_are_not() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(refusal(status, b"").is_transient(), "{status}");
        }
        for status in [400, 401, 403, 404] {
            assert!(!refusal(status, b"").is_transient(), "{status}");
        }
    }

    #[test]
    fn a_refusal_names_type_and_reason_where_there_are_any() {
        let body = br#"{"error":{"type":"index_closed_exception","reason":"closed"},"status":400}"#;
        let text = refusal(400, body).to_string();
        assert_eq!(text, "status 400, index_closed_exception: closed");
        assert_eq!(refusal(502, b"<html>").to_string(), "status 502 <html>");
        assert_eq!(refusal(401, b"").to_string(), "status 401");
    }
}
