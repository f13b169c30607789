//! Leaves a shard alone after it did not answer, so that batches wait for a dead server once and
//! not in every round. Whether it is back is found out by a probe beside them.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

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
    /// A probe has gone to see.
    Probing,
}

/// Whether a set may go to the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Go,
    /// It may not.
    Refused,
    /// It may not; whoever is told so sends the probe.
    SendProbe,
}

impl Breaker {
    /// Whether a set may go to the shard now. Whoever goes tells how it went.
    pub(crate) fn admission(&self, now: Instant) -> Admission {
        let mut state = self.lock();
        match *state {
            BreakerState::Closed => Admission::Go,
            BreakerState::Resting { until } if now >= until => {
                *state = BreakerState::Probing;
                Admission::SendProbe
            }
            BreakerState::Resting { .. } | BreakerState::Probing => Admission::Refused,
        }
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
    use std::time::Duration;

    const REST: Duration = Duration::from_millis(500);

    #[test]
    fn a_resting_shard_is_probed_once_when_its_rest_is_over() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.admission(now), Admission::Go);
        assert!(breaker.failed(now + REST));
        assert_eq!(breaker.admission(now), Admission::Refused);
        assert_eq!(breaker.admission(now + REST), Admission::SendProbe);
        assert_eq!(breaker.admission(now + REST), Admission::Refused);
    }

    #[test]
    fn a_probe_that_failed_is_followed_by_another_rest() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now);
        assert_eq!(breaker.admission(now), Admission::SendProbe);
        assert!(!breaker.failed(now + REST));
        assert_eq!(breaker.admission(now), Admission::Refused);
        assert_eq!(breaker.admission(now + REST), Admission::SendProbe);
    }

    #[test]
    fn an_answer_opens_the_way() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now + REST);
        assert!(breaker.answered());
        assert_eq!(breaker.admission(now), Admission::Go);
        assert!(!breaker.answered());
    }
}
