//! How patient the coordinator and the sweeper are.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The coordinator's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorSettings {
    /// How often a deadlock or a lost connection is tried again in place.
    pub quick_retries_max: u32,
    /// The pause before the first of them; it doubles, with jitter.
    pub quick_retry_pause_ms: u64,
    /// How long one set on one shard may take, connecting included.
    pub set_timeout_ms: u64,
    /// How long a shard that did not answer is left alone before a probe goes to see.
    pub shard_rest_ms: u64,
    /// How long a transaction waits after its first failed attempt; it doubles, with jitter.
    pub backoff_first_ms: u64,
    /// The longest such wait.
    pub backoff_max_ms: u64,
    /// From this many attempts on a transaction is stuck: an error is logged once.
    pub stuck_after_attempts: u32,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            quick_retries_max: 5,
            quick_retry_pause_ms: 4,
            set_timeout_ms: 10_000,
            shard_rest_ms: 500,
            backoff_first_ms: 500,
            backoff_max_ms: 15_000,
            stuck_after_attempts: 20,
        }
    }
}

/// The sweeper's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweeperSettings {
    /// The most transactions of one page.
    pub page_max: u32,
    /// How long a page is this sweeper's own; longer than a page takes.
    pub lease_ms: u64,
    /// How long a shard is left alone once nothing is due on it, with jitter.
    pub idle_ms: u64,
    /// How often the gauge `saga_stuck` is measured, one statement a shard.
    pub count_stuck_every_ms: u64,
    /// The most open transactions that one measurement looks at.
    pub count_stuck_rows_max: u32,
}

impl Default for SweeperSettings {
    fn default() -> Self {
        Self {
            page_max: 500,
            lease_ms: 30_000,
            idle_ms: 1_000,
            count_stuck_every_ms: 15_000,
            count_stuck_rows_max: 100_000,
        }
    }
}

impl CoordinatorSettings {
    /// The wait before the next attempt of a transaction that was attempted so often before.
    /// `jitter` is a random number from 0 to 1: it takes away up to half.
    pub fn backoff(&self, attempts: u32, jitter: f64) -> Duration {
        doubled(self.backoff_first_ms, attempts, self.backoff_max_ms, jitter)
    }

    /// The pause before a retry in place.
    pub fn quick_pause(&self, retries: u32, jitter: f64) -> Duration {
        doubled(self.quick_retry_pause_ms, retries, 1_000, jitter)
    }
}

fn doubled(first_ms: u64, times: u32, max_ms: u64, jitter: f64) -> Duration {
    let whole = first_ms.saturating_mul(1 << times.min(30)).min(max_ms);
    Duration::from_millis(whole).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_up_to_its_maximum() {
        let settings = CoordinatorSettings::default();
        assert_eq!(settings.backoff(0, 0.0), Duration::from_millis(500));
        assert_eq!(settings.backoff(3, 0.0), Duration::from_secs(4));
        assert_eq!(settings.backoff(u32::MAX, 0.0), Duration::from_secs(15));
        let first = Duration::from_millis(settings.quick_retry_pause_ms);
        assert_eq!(settings.quick_pause(0, 0.0), first);
        assert_eq!(settings.quick_pause(30, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let settings = CoordinatorSettings::default();
        assert_eq!(settings.backoff(0, 1.0), Duration::from_millis(250));
        assert_eq!(
            settings.backoff(u32::MAX, 1.0),
            Duration::from_millis(7_500)
        );
    }
}
