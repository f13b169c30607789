//! Leaves a shard alone after it did not answer, so that batches wait for a dead server once and
//! not in every round. Whether it is back is found out by a probe beside them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A probe takes less.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// One shard's breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum BreakerState {
    /// It answers.
    #[default]
    Closed,
    /// It did not answer, for this cause: nobody goes there before this time.
    Resting { until: Instant, cause: Arc<str> },
    /// A probe has gone to see; one that is not back by this time is not coming back.
    Probing { until: Instant, cause: Arc<str> },
}

/// Whether a set may go to the shard; if not, for what cause the shard did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Go,
    /// It may not.
    Refused(Arc<str>),
    /// It may not; whoever is told so sends the probe.
    SendProbe(Arc<str>),
}

impl Breaker {
    /// Whether a set may go to the shard now. Whoever goes tells how it went.
    pub(crate) fn admission(&self, now: Instant) -> Admission {
        let mut state = self.lock();
        match &*state {
            BreakerState::Closed => Admission::Go,
            BreakerState::Resting { until, cause } | BreakerState::Probing { until, cause }
                if now >= *until =>
            {
                let cause = cause.clone();
                *state = BreakerState::Probing {
                    until: now + PROBE_MAX,
                    cause: cause.clone(),
                };
                Admission::SendProbe(cause)
            }
            BreakerState::Resting { cause, .. } | BreakerState::Probing { cause, .. } => {
                Admission::Refused(cause.clone())
            }
        }
    }

    /// The shard answered, whatever it said. Tells whether that is news.
    pub(crate) fn answered(&self) -> bool {
        std::mem::replace(&mut *self.lock(), BreakerState::Closed) != BreakerState::Closed
    }

    /// The shard did not answer. Tells whether that is news.
    pub(crate) fn failed(&self, until: Instant, cause: &str) -> bool {
        let resting = BreakerState::Resting {
            until,
            cause: cause.into(),
        };
        let was = std::mem::replace(&mut *self.lock(), resting);
        was == BreakerState::Closed
    }

    /// A shard of the same server did not answer. Whoever is told true sends the probe; until it is
    /// back nobody goes there.
    pub(crate) fn suspect(&self, now: Instant, cause: &str) -> bool {
        let mut state = self.lock();
        let closed = *state == BreakerState::Closed;
        if closed {
            *state = BreakerState::Probing {
                until: now + PROBE_MAX,
                cause: cause.into(),
            };
        }
        closed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(500);
    const CAUSE: &str = "connection refused";

    #[test]
    fn a_resting_shard_is_probed_once_when_its_rest_is_over() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.admission(now), Admission::Go);
        assert!(breaker.failed(now + REST, CAUSE));
        assert_eq!(breaker.admission(now), Admission::Refused(CAUSE.into()));
        assert_eq!(
            breaker.admission(now + REST),
            Admission::SendProbe(CAUSE.into())
        );
        assert_eq!(
            breaker.admission(now + REST),
            Admission::Refused(CAUSE.into())
        );
    }

    #[test]
    fn a_probe_that_failed_is_followed_by_another_rest() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now, CAUSE);
        assert_eq!(breaker.admission(now), Admission::SendProbe(CAUSE.into()));
        assert!(!breaker.failed(now + REST, CAUSE));
        assert_eq!(breaker.admission(now), Admission::Refused(CAUSE.into()));
        assert_eq!(
            breaker.admission(now + REST),
            Admission::SendProbe(CAUSE.into())
        );
    }

    #[test]
    fn a_probe_that_never_comes_back_is_followed_by_another() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now, CAUSE);
        assert_eq!(breaker.admission(now), Admission::SendProbe(CAUSE.into()));
        assert_eq!(breaker.admission(now), Admission::Refused(CAUSE.into()));
        let later = now + PROBE_MAX;
        assert_eq!(breaker.admission(later), Admission::SendProbe(CAUSE.into()));
    }

    #[test]
    fn a_suspected_shard_is_probed_once_before_anybody_goes_there() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.suspect(now, CAUSE));
        assert!(!breaker.suspect(now, CAUSE));
        assert_eq!(breaker.admission(now), Admission::Refused(CAUSE.into()));
        assert!(breaker.answered());
        assert_eq!(breaker.admission(now), Admission::Go);
        breaker.failed(now + REST, CAUSE);
        assert!(!breaker.suspect(now, CAUSE));
    }

    #[test]
    fn an_answer_opens_the_way() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(now + REST, CAUSE);
        assert!(breaker.answered());
        assert_eq!(breaker.admission(now), Admission::Go);
        assert!(!breaker.answered());
    }
}
