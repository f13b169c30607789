//! The HTTP API as a caller sees it.

use anyhow::Result;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// One token's view of the API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    api_url: String,
    token: String,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
    /// Its JSON; null when there is none.
    pub body: Value,
}

impl Answer {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// A text of the body; empty when it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or("")
    }
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, api_url: String, token: String) -> Self {
        Self {
            http,
            api_url,
            token,
        }
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        send(self.request(Method::GET, path)).await
    }

    /// `POST path` with an Idempotency-Key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Answer> {
        send(
            self.request(Method::POST, path)
                .header("idempotency-key", key)
                .json(body),
        )
        .await
    }

    /// `POST /v1/orders` with `Prefer: wait`.
    pub async fn post_and_wait(&self, key: &str, body: &Value, seconds: u32) -> Result<Answer> {
        let limit = Duration::from_secs(u64::from(seconds) + 15);
        self.post_within(limit, key, Some(seconds), body).await
    }

    /// `POST /v1/orders`, given up after this time; with `Prefer: wait` when told how many seconds.
    pub async fn post_within(
        &self,
        limit: Duration,
        key: &str,
        wait_s: Option<u32>,
        body: &Value,
    ) -> Result<Answer> {
        let mut request = self
            .request(Method::POST, "/v1/orders")
            .timeout(limit)
            .header("idempotency-key", key);
        if let Some(seconds) = wait_s {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        send(request.json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.api_url))
            .bearer_auth(&self.token)
    }
}

async fn send(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer {
        status,
        headers,
        body,
    })
}
