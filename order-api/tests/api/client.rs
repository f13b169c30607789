//! HTTP as a caller sees it.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// One token's view of one API process.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub url: String,
    token: Option<String>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or("")
    }

    /// Asserts that this is a whole problem with this status and code, and answers it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.text("code"), code, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.text("type"), format!("urn:holdfast:problem:{code}"));
        assert_eq!(self.body["status"], status);
        assert!(!self.text("title").is_empty() && !self.text("detail").is_empty());
        assert_eq!(self.text("request_id"), self.header("x-request-id"));
        assert!(!self.text("request_id").is_empty());
        self
    }

    /// Asserts which fields are named as wrong.
    #[track_caller]
    pub fn pointers(&self, expected: &[&str]) {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let pointers: Vec<_> = errors
            .iter()
            .map(|e| e["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(pointers, expected, "{self:?}");
    }
}

impl Client {
    pub fn new(url: &str, token: Option<String>) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: url.to_owned(),
            token,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).json(body);
        send(request.header("idempotency-key", key)).await
    }

    pub async fn post_order(&self, key: &str, body: &Value) -> Answer {
        self.post("/v1/orders", key, body).await
    }

    pub async fn post_and_wait(&self, key: &str, body: &Value, seconds: u64) -> Answer {
        let request = self.request(Method::POST, "/v1/orders").json(body);
        let request = request.header("idempotency-key", key);
        send(request.header("prefer", format!("wait={seconds}"))).await
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}
