//! How long to wait before trying again: doubling, capped, with jitter so that many do not come
//! back at one instant.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The bounds of a backoff, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The longest first wait.
    pub min_ms: u64,
    /// The longest wait of all.
    pub max_ms: u64,
}

impl Backoff {
    /// The wait after this many failures (from 1). `jitter` is random in 0..1; the wait lies
    /// between half and the whole of the doubled minimum.
    pub fn delay(self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let whole = self.min_ms.saturating_mul(1 << doublings).min(self.max_ms);
        Duration::from_millis(whole).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_cap_and_jitter_never_lengthens_it() {
        let backoff = Backoff {
            min_ms: 100,
            max_ms: 1_000,
        };
        let whole = |failures| backoff.delay(failures, 1.0).as_millis();
        assert_eq!(
            [1, 2, 3, 9, u32::MAX].map(whole),
            [100, 200, 400, 1_000, 1_000]
        );
        assert_eq!(backoff.delay(1, 0.0).as_millis(), 50);
    }
}
