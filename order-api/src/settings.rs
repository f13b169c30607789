//! All settings of the service, as `default.toml` explains them.

use crate::auth::AuthSettings;
use crate::idempotency::IdempotencySettings;
use crate::order_lookup::LookupSettings;
use crate::order_producer::ProducerSettings;
use crate::outcome_wait::WaitingSettings;
use serde::{Deserialize, Serialize};
use service::admin::AdminSettings;
use service::kafka::KafkaSettings;
use service::logs::LogSettings;
use service::redis::RedisSettings;
use service::search::SearchSettings;
use service::settings::SettingsError;
use std::net::SocketAddr;
use std::path::PathBuf;
use store::StoresSettings;

/// The commented defaults.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// Every section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each section says for itself what it is")]
pub struct Settings {
    pub http: HttpSettings,
    pub auth: AuthSettings,
    pub ids: IdsSettings,
    pub cursors: CursorSettings,
    pub orders: OrderSettings,
    pub producer: ProducerSettings,
    pub idempotency: IdempotencySettings,
    pub lookup: LookupSettings,
    pub waiting: WaitingSettings,
    pub paging: PagingSettings,
    pub stores: StoresSettings,
    pub kafka: KafkaSettings,
    pub redis: RedisSettings,
    pub search: SearchSettings,
    pub admin: AdminSettings,
    pub log: LogSettings,
}

/// Section `[http]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Most bytes of a body.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// Most bytes of a request line and its headers.
    pub header_bytes_max: usize,
    /// Most headers of a request.
    pub headers_max: usize,
    /// How long the headers may take, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long a client may take nothing of what it is sent, in milliseconds.
    pub unread_timeout_ms: u32,
    /// Most exports under way.
    pub exports_max: usize,
    /// How long an export may take, in milliseconds.
    pub export_timeout_ms: u64,
    /// Most connections.
    pub connections_max: usize,
    /// Most requests in hand.
    pub requests_max: usize,
    /// Most requests that wait for an outcome.
    pub waiting_requests_max: usize,
    /// How long a request may take, in milliseconds, besides what it asked to wait.
    pub request_timeout_ms: u64,
    /// How long the service says that it stops before it does, in milliseconds.
    pub shutdown_notice_ms: u64,
    /// How long requests in hand may take after that, in milliseconds.
    pub shutdown_timeout_ms: u64,
}

/// Section `[ids]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdsSettings {
    /// 64 hexadecimal digits: the key of the MAC in order ids.
    pub mac_key_file: PathBuf,
}

/// Section `[cursors]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorSettings {
    /// 64 hexadecimal digits: the key that signs cursors.
    pub key_file: PathBuf,
    /// How long a cursor is good for, in seconds.
    pub keep_alive_s: u64,
}

/// Section `[orders]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderSettings {
    /// How long after its acceptance an order may first be tried, in milliseconds.
    pub not_after_ms: u64,
}

/// Section `[paging]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagingSettings {
    /// Orders on a page unless asked.
    pub limit_default: u32,
    /// Most orders on a page.
    pub limit_max: u32,
    /// Buckets of a summary unless asked.
    pub buckets_default: u32,
    /// Most buckets of a summary.
    pub buckets_max: u32,
    /// Most entries that one request sums up day by day.
    pub summed_entries_max: u64,
}

impl Settings {
    /// Refuses values that do not go together.
    pub fn check(&self) -> Result<(), SettingsError> {
        let accepting = self.producer.message_timeout_ms
            + self.lookup.timeout_ms
            + 3 * self.idempotency.redis_timeout_ms
            + self.http.body_timeout_ms;
        let request = self.http.request_timeout_ms;
        if accepting >= request {
            return conflict(format!(
                "http.request_timeout_ms ({request}) must exceed what accepting an order may take \
                 ({accepting}): producer.message_timeout_ms + lookup.timeout_ms + 3 * \
                 idempotency.redis_timeout_ms + http.body_timeout_ms"
            ));
        }
        if self.search.request_timeout_ms >= request {
            return conflict(
                "http.request_timeout_ms must exceed search.request_timeout_ms".into(),
            );
        }
        if self.http.header_bytes_max < 8192 {
            return conflict("http.header_bytes_max must be at least 8192".into());
        }
        let unread = u64::from(self.http.unread_timeout_ms);
        if !(1..self.http.shutdown_timeout_ms).contains(&unread) {
            return conflict(
                "http.unread_timeout_ms must be from 1 to less than http.shutdown_timeout_ms"
                    .into(),
            );
        }
        let keep_alive_ms = self.cursors.keep_alive_s.saturating_mul(1_000);
        if keep_alive_ms <= unread + request {
            return conflict(
                "cursors.keep_alive_s must exceed http.unread_timeout_ms + http.request_timeout_ms, \
                 which an export may pause between two pages"
                    .into(),
            );
        }
        Ok(())
    }
}

fn conflict(text: String) -> Result<(), SettingsError> {
    Err(SettingsError::Conflict(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_go_together_and_a_conflict_is_named() {
        let mut settings: Settings = service::settings::load(DEFAULT_TOML, None).unwrap();
        settings.check().unwrap();
        settings.producer.message_timeout_ms = settings.http.request_timeout_ms;
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("producer.message_timeout_ms"), "{error}");
    }

    #[test]
    fn a_point_in_time_outlives_the_pauses_of_an_export() {
        let mut settings: Settings = service::settings::load(DEFAULT_TOML, None).unwrap();
        let http = &settings.http;
        let pause_ms = u64::from(http.unread_timeout_ms) + http.request_timeout_ms;
        settings.cursors.keep_alive_s = pause_ms / 1_000;
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("cursors.keep_alive_s"), "{error}");
        settings.cursors.keep_alive_s += 1;
        settings.check().unwrap();
    }
}
