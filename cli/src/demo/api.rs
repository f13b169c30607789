//! Requests to the HTTP API, retried with the same key until they are answered for good.
//!
//! Every request of the demo may be sent any number of times: it carries an Idempotency-Key, or
//! reads, or closes. So whatever dies in the middle, the figures stay the same.

use crate::cause;
use anyhow::{Context, bail};
use rand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The API as one merchant, or the back office, sees it.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base_url: String,
    token: String,
    /// How long a request is retried before the demo gives up.
    patience: Duration,
}

/// An answer that will not change.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Whether it repeats the answer to an earlier request.
    pub replayed: bool,
    /// Its body.
    pub body: Value,
}

impl Api {
    /// The API at this URL with this token.
    pub fn new(base_url: &str, token: String, patience: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        Ok(Self {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            token,
            patience,
        })
    }

    /// Posts under an Idempotency-Key. A refusal of the request itself (4xx) is an answer too.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(key), Some(body)).await
    }

    /// Posts without a key, where doing it twice is as good as once.
    pub async fn post_repeatable(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, None, None).await
    }

    /// Gets what is there, or fails.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.send(Method::GET, path, None, None).await?;
        answer.ok(path)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let problem = match self.send_once(method.clone(), path, key, body).await {
                Ok(answer) if !is_temporary(answer.status) => return Ok(answer),
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => cause::told(&error),
            };
            if started.elapsed() > self.patience {
                bail!(
                    "{method} {path} was not answered within {:?}; the last attempt: {problem}",
                    self.patience
                );
            }
            tokio::time::sleep(pause.mul_f64(rand::rng().random_range(0.5..1.5))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn send_once(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base_url))
            .bearer_auth(&self.token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let replayed = response
            .headers()
            .get("idempotent-replayed")
            .is_some_and(|value| value.as_bytes() == b"true");
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer {
            status,
            replayed,
            body,
        })
    }
}

impl Answer {
    /// The body of a success.
    pub fn ok(self, what: &str) -> anyhow::Result<Value> {
        if self.status.is_success() {
            Ok(self.body)
        } else {
            bail!("{what} was refused: {} {}", self.status, self.body)
        }
    }

    /// The `id` in the body of a success.
    pub fn id(self, what: &str) -> anyhow::Result<String> {
        let body = self.ok(what)?;
        let id = body.get("id").and_then(Value::as_str);
        id.map(str::to_owned)
            .with_context(|| format!("{what} was answered without an id: {body}"))
    }
}

/// Whether asking again, later, may be answered otherwise.
fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        )
}
