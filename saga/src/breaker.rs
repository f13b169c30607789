//! Leaves a shard alone for a moment after it did not answer, so that a batch waits for a dead
//! server once and not in every round.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One shard's breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// It answers.
    #[default]
    Closed,
    /// It did not answer: nobody goes there before this time.
    Resting { until: Instant },
    /// One set has gone to see; the others wait for what it finds, but not for ever.
    Probing { since: Instant },
}

/// A probe that says nothing (its future was dropped) counts no longer than this.
const PROBE_MAX: Duration = Duration::from_secs(30);

impl Breaker {
    /// Whether a set may go to the shard now. Whoever is let through tells how it went.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let free = match *state {
            BreakerState::Closed => return true,
            BreakerState::Resting { until } => now >= until,
            BreakerState::Probing { since } => now >= since + PROBE_MAX,
        };
        if free {
            *state = BreakerState::Probing { since: now };
        }
        free
    }

    /// The shard answered, whatever it said. Tells whether that is news.
    pub(crate) fn answered(&self) -> bool {
        std::mem::replace(&mut *self.lock(), BreakerState::Closed) != BreakerState::Closed
    }

    /// The shard did not answer. Tells whether that is news.
    pub(crate) fn failed(&self, until: Instant) -> bool {
        let was = std::mem::replace(&mut *self.lock(), BreakerState::Resting { until });
        was == BreakerState::Closed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(500);

    #[test]
    fn a_resting_shard_lets_one_probe_through_when_its_rest_is_over() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.failed(now + REST));
        assert!(!breaker.admits(now));
        assert!(breaker.admits(now + REST));
        assert!(!breaker.admits(now + REST));
    }

    #[test]
    fn an_answer_closes_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now + REST);
        assert!(breaker.answered());
        assert!(breaker.admits(now));
        assert!(!breaker.answered());
    }

    #[test]
    fn a_probe_that_never_returned_does_not_close_the_shard_for_ever() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now);
        assert!(breaker.admits(now));
        assert!(!breaker.admits(now + REST));
        assert!(breaker.admits(now + PROBE_MAX));
    }
}
