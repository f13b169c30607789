//! Makes what was written found by a search, with one refresh for all streams: refreshes are what
//! an index is kept busy with while little happens.
//!
//! All streams ask at the same instants. Whoever asks while a refresh runs waits for it, and is
//! served by it if it started late enough to cover what they wrote.

use crate::search_client::{SearchClient, SearchError};
use reqwest::Method;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Refreshes the orders on behalf of every stream of this process.
#[derive(Debug, Clone)]
pub struct Refresher {
    client: SearchClient,
    began: Instant,
    interval: Duration,
    /// When the last refresh that succeeded started; held while one runs.
    started: Arc<Mutex<Option<Instant>>>,
}

impl Refresher {
    /// A refresher whose ticks are `interval` apart, from now on.
    pub fn new(client: SearchClient, interval: Duration) -> Self {
        Self {
            client,
            began: Instant::now(),
            interval,
            started: Arc::default(),
        }
    }

    /// Waits until the next instant at which all streams ask.
    pub async fn next_tick(&self) {
        let now = Instant::now();
        let wait = until_tick(now.duration_since(self.began), self.interval);
        tokio::time::sleep_until((now + wait).into()).await;
    }

    /// Makes found what was acknowledged up to this instant.
    pub async fn refresh_after(&self, acknowledged: Instant) -> Result<(), SearchError> {
        let mut last_started = self.started.lock().await;
        if last_started.is_some_and(|started| started > acknowledged) {
            return Ok(());
        }
        let starts = Instant::now();
        let path = format!("/{}/_refresh", self.client.names().alias);
        self.client.json(Method::POST, &path, None).await?;
        *last_started = Some(starts);
        Ok(())
    }
}

/// From `elapsed` to the next multiple of the interval, which is never now.
fn until_tick(elapsed: Duration, interval: Duration) -> Duration {
    let interval_ns = interval.as_nanos().max(1);
    let rest_ns = interval_ns - elapsed.as_nanos() % interval_ns;
    Duration::from_nanos(u64::try_from(rest_ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        let ms = Duration::from_millis;
        for (elapsed, wait) in [(0, 1000), (1, 999), (999, 1), (1000, 1000), (3400, 600)] {
            assert_eq!(until_tick(ms(elapsed), ms(1000)), ms(wait), "{elapsed}");
        }
    }
}
