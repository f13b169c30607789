//! The consumer's settings: one section a part, and what must hold between them.

use crate::backoff::Backoff;
use crate::topics::TopicSettings;
use saga::{CoordinatorSettings, SweeperSettings};
use serde::{Deserialize, Serialize};
use service::admin::AdminSettings;
use service::kafka::KafkaSettings;
use service::logs::LogSettings;
use service::redis::RedisSettings;
use service::settings::SettingsError;
use std::time::Duration;
use store::{OrderLogSettings, StoresSettings};

/// The commented defaults.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// All sections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The databases.
    pub stores: StoresSettings,
    /// The brokers and our topics' names.
    pub kafka: KafkaSettings,
    /// What our topics must be like.
    pub topics: TopicSettings,
    /// Where waiting requests are woken.
    pub redis: RedisSettings,
    /// The admin port.
    pub admin: AdminSettings,
    /// The logs.
    pub log: LogSettings,
    /// The loop.
    pub worker: WorkerSettings,
    /// How long orders may take.
    #[serde(default)]
    pub orders: OrderLogSettings,
    /// The engine's rounds.
    #[serde(default)]
    pub coordinator: CoordinatorSettings,
    /// The recovery.
    #[serde(default)]
    pub sweeper: SweeperSettings,
}

/// Section `[worker]`; `default.toml` says what each is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml comments each")]
pub struct WorkerSettings {
    pub group_id: String,
    pub batch_records_max: usize,
    pub batch_records_enough: usize,
    pub batch_pause_max_ms: u64,
    pub lanes: usize,
    pub batch_deadline_ms: u64,
    pub value_bytes_max: usize,
    pub room_kib_max: u32,
    pub parked_kib_max: u32,
    pub retry_topic_after_ms: u64,
    pub retry_room_kib_max: u32,
    pub fetch_ahead_kib_max: u32,
    pub fetch_partition_kib_max: u32,
    pub stall_ms: u64,
    pub session_timeout_ms: u64,
    pub heartbeat_interval_ms: u64,
    pub max_poll_interval_ms: u64,
    pub revoke_wait_ms: u64,
    pub commit_interval_ms: u64,
    pub retry_delay_min_ms: u64,
    pub retry_delay_max_ms: u64,
    pub retry_orders_max: usize,
    pub probe_orders_max: usize,
    pub dead_letter_timeout_ms: u64,
    pub wake_queue_batches_max: usize,
    pub shutdown_timeout_ms: u64,
}

impl Settings {
    /// Refuses values that do not go together.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.worker.check()?;
        let wanted = self.connections_wanted();
        if (self.stores.connections_max as usize) < wanted {
            return Err(SettingsError::Conflict(format!(
                "stores.connections_max must be at least {wanted}: each lane, and each order \
                 shard's retry and sweep, may ask one shard to confirm and to cancel at once"
            )));
        }
        Ok(())
    }

    /// How many sets may be at one shard at once, and a probe beside them.
    fn connections_wanted(&self) -> usize {
        let batches = self.worker.lanes + 2 * self.stores.order_shards.len();
        2 * batches + 1
    }
}

impl WorkerSettings {
    fn check(&self) -> Result<(), SettingsError> {
        let bounds = [
            (
                // Only the loop's stall and a revocation keep the poll from coming, but whoever
                // raises the batch deadline expects it to be survived.
                self.max_poll_interval_ms
                    > self.batch_deadline_ms + self.revoke_wait_ms + self.stall_ms,
                "worker.max_poll_interval_ms must exceed batch_deadline_ms + revoke_wait_ms + stall_ms",
            ),
            (
                self.max_poll_interval_ms >= self.session_timeout_ms,
                "worker.max_poll_interval_ms must not be below session_timeout_ms",
            ),
            (
                self.session_timeout_ms >= 3 * self.heartbeat_interval_ms,
                "worker.session_timeout_ms must be at least three times heartbeat_interval_ms",
            ),
            (
                self.shutdown_timeout_ms > self.revoke_wait_ms,
                "worker.shutdown_timeout_ms must exceed revoke_wait_ms",
            ),
            (
                self.retry_delay_min_ms > 0 && self.retry_delay_max_ms >= self.retry_delay_min_ms,
                "worker.retry_delay_max_ms must not be below retry_delay_min_ms, which is not 0",
            ),
            (
                u64::from(self.room_kib_max) * 1024 > 2 * self.value_bytes_max as u64,
                "worker.room_kib_max must hold at least two of the longest values",
            ),
            (
                u64::from(self.retry_room_kib_max) * 1024 > 2 * self.value_bytes_max as u64,
                "worker.retry_room_kib_max must hold at least two of the longest values",
            ),
            (
                self.lanes > 0 && self.batch_records_max > 0,
                "worker.lanes and worker.batch_records_max must not be 0",
            ),
            (
                self.retry_orders_max > 0 && self.probe_orders_max > 0,
                "worker.retry_orders_max and worker.probe_orders_max must not be 0",
            ),
        ];
        match bounds.iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(SettingsError::Conflict((*broken).to_owned())),
            None => Ok(()),
        }
    }

    /// How parked orders and probes wait.
    pub fn retry_backoff(&self) -> Backoff {
        Backoff {
            min_ms: self.retry_delay_min_ms,
            max_ms: self.retry_delay_max_ms,
        }
    }

    /// Where it is kept how far the retry topic was dealt with.
    pub fn retry_group_id(&self) -> String {
        format!("{}-retry", self.group_id)
    }

    /// How long a partition that goes away waits for its running batch.
    pub fn revoke_wait(&self) -> Duration {
        Duration::from_millis(self.revoke_wait_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_connections_than_sets_may_be_at_a_shard_are_refused() {
        let mut settings = defaults();
        settings.worker.lanes += 20;
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("connections_max"), "{error}");
    }

    fn defaults() -> Settings {
        service::settings::load(DEFAULT_TOML, None).unwrap()
    }

    #[test]
    fn the_defaults_go_together() {
        defaults().check().unwrap();
    }

    #[test]
    fn a_poll_interval_that_a_batch_may_exceed_is_refused() {
        let mut settings = defaults();
        settings.worker.max_poll_interval_ms = settings.worker.batch_deadline_ms;
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("max_poll_interval_ms"), "{error}");
    }
}
