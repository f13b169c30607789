//! How to reach Redis, and the names of its keys. Redis is never a guard: without it money flows.

use crate::settings::mask_password;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisError, TlsCertificates};
use serde::{Deserialize, Serialize, Serializer};
use std::path::PathBuf;
use std::time::Duration;

/// Section `[redis]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://` or, with TLS, `rediss://[user:password@]host:port/db`.
    #[serde(serialize_with = "masked")]
    pub url: String,
    /// The authorities to trust with TLS; none means the well-known ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, in milliseconds.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "response_timeout_ms")]
    pub response_timeout_ms: u64,
    /// What every key and channel begins with.
    #[serde(default = "key_prefix")]
    pub key_prefix: String,
}

fn masked<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask_password(url))
}

fn connect_timeout_ms() -> u64 {
    500
}

fn response_timeout_ms() -> u64 {
    100
}

fn key_prefix() -> String {
    "holdfast:".into()
}

impl RedisSettings {
    /// Settings for this URL, all else as by default.
    pub fn of_url(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            connect_timeout_ms: connect_timeout_ms(),
            response_timeout_ms: response_timeout_ms(),
            key_prefix: key_prefix(),
        }
    }

    /// A client; it connects when first used.
    pub fn client(&self) -> anyhow::Result<Client> {
        let info = self.url.as_str().into_connection_info()?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match &self.ca_file {
            Some(path) if tls => {
                let root_cert = Some(std::fs::read(path)?);
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert,
                };
                Ok(Client::build_with_tls(info, certificates)?)
            }
            Some(_) | None => Ok(Client::open(info)?),
        }
    }

    /// A connection that reconnects by itself and gives up in time. It does not wait for Redis.
    pub fn manager(&self) -> anyhow::Result<redis::aio::ConnectionManager> {
        let config = redis::aio::ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(self.connect_timeout_ms)))
            .set_response_timeout(Some(Duration::from_millis(self.response_timeout_ms)))
            .set_max_delay(Duration::from_secs(1));
        let manager = redis::aio::ConnectionManager::new_lazy_with_config(self.client()?, config);
        manager.map_err(|error: RedisError| error.into())
    }

    /// The marker of an order id whose record Kafka has acknowledged.
    pub fn marker_key(&self, order_id: impl std::fmt::Display) -> String {
        format!("{}idem:{order_id}", self.key_prefix)
    }

    /// The channel on which an API instance waits for outcomes.
    pub fn wake_channel(&self, instance: &str) -> String {
        format!("{}wake:{instance}", self.key_prefix)
    }
}
