//! How to reach Elasticsearch, and the names of our indices.

use crate::settings::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Section `[search]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// `http://` or `https://host:port`.
    pub url: String,
    /// Who logs in; none means no login.
    #[serde(default)]
    pub username: Option<String>,
    /// With what.
    #[serde(default)]
    pub password: Secret,
    /// The authorities to trust; none means the well-known ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What readers ask.
    #[serde(default = "alias")]
    pub alias: String,
    /// Where the documents are.
    #[serde(default = "index")]
    pub index: String,
    /// Where the follower keeps its positions and how fresh the index is.
    #[serde(default = "follower_index")]
    pub follower_index: String,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
}

fn alias() -> String {
    "orders".into()
}

fn index() -> String {
    "orders-v1".into()
}

fn follower_index() -> String {
    "orders-follower".into()
}

fn request_timeout_ms() -> u64 {
    10_000
}

impl SearchSettings {
    /// Settings for this URL, all else as by default.
    pub fn of_url(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            username: None,
            password: Secret::default(),
            ca_file: None,
            alias: alias(),
            index: index(),
            follower_index: follower_index(),
            request_timeout_ms: request_timeout_ms(),
        }
    }

    /// How long an answer may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}
