//! The follower's settings: `default.toml`, a file, the environment.

use serde::{Deserialize, Serialize};
use service::admin::AdminSettings;
use service::kafka::KafkaSettings;
use service::logs::LogSettings;
use service::search::SearchSettings;
use service::settings::{SettingsError, UrlList};
use std::path::PathBuf;
use std::time::Duration;

/// The commented defaults.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// Everything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the order shards are.
    pub stores: StoresSettings,
    /// Where the documents go.
    pub search: SearchSettings,
    /// Where the events go.
    pub kafka: KafkaSettings,
    /// How they are published.
    pub events: EventsSettings,
    /// How it is followed.
    pub follower: FollowerSettings,
    /// The admin port.
    pub admin: AdminSettings,
    /// The log.
    pub log: LogSettings,
}

/// Section `[stores]`, as far as the follower reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoresSettings {
    /// The order shards, in shard order.
    pub order_shards: UrlList,
    /// Not read.
    #[serde(default)]
    pub account_shards: UrlList,
    /// The slot map's generation.
    pub slot_map_epoch: u32,
    /// How connections are protected.
    pub tls: Tls,
    /// The authorities to trust.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How a connection to MySQL is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Never.
    Disabled,
    /// Where the server offers it.
    Preferred,
    /// Always, whoever signed the server's certificate.
    Required,
    /// Always, and the certificate must be signed by a trusted authority.
    VerifyCa,
}

/// Section `[events]`; `default.toml` says what each is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each where it is set")]
pub struct EventsSettings {
    pub publish: bool,
    pub linger_ms: u64,
    pub socket_timeout_ms: u64,
    pub queue_kbytes_max: u64,
}

/// Section `[follower]`; `default.toml` says what each is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each where it is set")]
pub struct FollowerSettings {
    pub server_id_base: u32,
    pub heartbeat_ms: u64,
    pub connect_timeout_ms: u64,
    pub answer_timeout_ms: u64,
    pub backoff_min_ms: u64,
    pub backoff_max_ms: u64,
    pub batch_documents_max: usize,
    pub batch_bytes_max: usize,
    pub bulk_documents_max: usize,
    pub bulk_lanes: usize,
    pub bulk_linger_ms: u64,
    pub freshness_interval_ms: u64,
    pub snapshot_rows_max: u32,
    pub snapshot_rows_per_second_max: u64,
    pub stall_after_ms: u64,
    pub stop_timeout_ms: u64,
    pub lease_ms: u64,
}

impl FollowerSettings {
    /// Delays between attempts: growing, capped, jittered, without end.
    pub fn backoff(&self) -> backon::ExponentialBackoff {
        use backon::BackoffBuilder;
        backon::ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(self.backoff_min_ms))
            .with_max_delay(Duration::from_millis(self.backoff_max_ms))
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// After how long without a renewal another follower takes over.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How often the lease is renewed, or watched.
    pub fn lease_pace(&self) -> Duration {
        self.lease() / 6
    }

    /// How long the stream may be silent.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(3 * self.heartbeat_ms)
    }
}

impl Settings {
    /// Refuses values that do not go together.
    pub fn check(&self) -> Result<(), SettingsError> {
        let conflict = |text: &str| Err(SettingsError::Conflict(text.to_owned()));
        if self.stores.order_shards.0.is_empty() {
            return conflict("stores.order_shards names no order shard to follow");
        }
        if self.follower.server_id_base == 0 {
            return conflict("follower.server_id_base must not be 0, which no replica may use");
        }
        if self.follower.backoff_min_ms == 0 {
            return conflict("follower.backoff_min_ms must not be 0, or failures spin");
        }
        if self.follower.backoff_min_ms > self.follower.backoff_max_ms {
            return conflict("follower.backoff_min_ms must not exceed follower.backoff_max_ms");
        }
        if self.follower.bulk_lanes == 0 || self.follower.bulk_lanes > 64 {
            return conflict("follower.bulk_lanes must be from 1 to 64");
        }
        let follower = &self.follower;
        if follower.batch_documents_max == 0
            || follower.batch_bytes_max == 0
            || follower.bulk_documents_max == 0
            || follower.snapshot_rows_max == 0
        {
            return conflict(
                "follower.batch_documents_max, batch_bytes_max, bulk_documents_max and \
                 snapshot_rows_max must not be 0",
            );
        }
        if self.follower.heartbeat_ms == 0 || self.follower.freshness_interval_ms == 0 {
            return conflict("follower.heartbeat_ms and freshness_interval_ms must not be 0");
        }
        if self.follower.lease_ms < 60 {
            return conflict("follower.lease_ms must be at least 60");
        }
        if self.follower.stall_after_ms <= self.search.request_timeout_ms {
            return conflict("follower.stall_after_ms must exceed search.request_timeout_ms");
        }
        if self.events.socket_timeout_ms < 10 || self.events.queue_kbytes_max == 0 {
            return conflict(
                "events.socket_timeout_ms must be at least 10 and queue_kbytes_max not 0",
            );
        }
        if self.events.publish && self.kafka.events_topic == self.kafka.commands_topic {
            return conflict("kafka.events_topic must not be the topic of commands");
        }
        if self.stores.tls == Tls::VerifyCa && self.stores.ca_file.is_none() {
            return conflict("stores.tls = \"verify_ca\" needs stores.ca_file");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        service::settings::load(DEFAULT_TOML, None).unwrap()
    }

    #[test]
    fn the_defaults_load_and_lack_only_the_shards() {
        let mut settings = defaults();
        assert!(settings.check().is_err());
        settings.stores.order_shards = UrlList(vec!["mysql://root@127.0.0.1:1/orders_0".into()]);
        settings.check().unwrap();
    }

    #[test]
    fn delays_grow_to_the_cap_and_never_end() {
        let settings = defaults().follower;
        let last = settings.backoff().nth(200).unwrap();
        assert!(last >= Duration::from_millis(settings.backoff_max_ms));
        assert!(last <= Duration::from_millis(2 * settings.backoff_max_ms));
    }
}
