//! Makes what was written found by a search, with one refresh for all streams: refreshes are what
//! an index is kept busy with while little happens.
//!
//! All streams ask at the same instants, the ticks. What they have in hand at a tick they write before they
//! ask, and wait for each other with that ([`Seat`]), so that a change which came in just before a tick is
//! found just after it. Whoever asks while a refresh runs waits for it, and is served by it if it started late
//! enough to cover what they wrote. Whoever catches up refreshes seldom: what keeps an index from being
//! written is not worth a view of orders that are late anyway.

use crate::search_client::{SearchClient, SearchError};
use reqwest::Method;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};

/// Of the time of whoever catches up, refreshes take one part in so many.
const SELDOM: u32 = 10;

/// Refreshes the orders on behalf of every stream of this process.
#[derive(Debug, Clone)]
pub struct Refresher {
    client: SearchClient,
    began: Instant,
    interval: Duration,
    /// What is known of the last one; held while one runs.
    last: Arc<Mutex<Last>>,
    /// The streams that have yet to write what they have in hand at a tick, by their labels, with that tick.
    writing: watch::Sender<HashMap<String, Instant>>,
}

#[derive(Debug, Default)]
struct Last {
    /// When the last refresh that succeeded started.
    succeeded: Option<Instant>,
    attempt: Option<Attempt>,
}

/// A refresh, whatever became of it.
#[derive(Debug)]
struct Attempt {
    started: Instant,
    took: Duration,
}

impl Attempt {
    fn is_too_soon_to_repeat(&self, now: Instant) -> bool {
        now.duration_since(self.started) < self.took * SELDOM
    }
}

impl Refresher {
    /// A refresher whose ticks are `interval` apart, from now on.
    pub fn new(client: SearchClient, interval: Duration) -> Self {
        Self {
            client,
            began: Instant::now(),
            interval,
            last: Arc::default(),
            writing: watch::Sender::default(),
        }
    }

    /// The next instant at which all streams ask.
    pub fn next_tick(&self) -> Instant {
        let now = Instant::now();
        now + until_tick(now.duration_since(self.began), self.interval)
    }

    /// A stream's place among those that wait for each other.
    pub fn seat(&self, label: &str) -> Seat {
        Seat {
            label: label.to_owned(),
            refresher: self.clone(),
        }
    }

    /// Makes found what was acknowledged up to this instant.
    pub async fn refresh_after(&self, acknowledged: Instant) -> Result<(), SearchError> {
        let mut last = self.last.lock().await;
        if last.succeeded.is_some_and(|started| started > acknowledged) {
            return Ok(());
        }
        let started = Instant::now();
        let path = format!("/{}/_refresh", self.client.names().alias);
        let answer = self.client.json(Method::POST, &path, None).await;
        let took = started.elapsed();
        last.attempt = Some(Attempt { started, took });
        answer?;
        last.succeeded = Some(started);
        Ok(())
    }

    /// The same for whoever is behind, but not so soon after the last refresh that refreshes would take
    /// more than a tenth of the time. What is passed over here is found after the next one, or after the
    /// index's own interval.
    pub async fn refresh_seldom(&self, acknowledged: Instant) -> Result<(), SearchError> {
        let last = self.last.lock().await;
        let now = Instant::now();
        if last
            .attempt
            .as_ref()
            .is_some_and(|last| last.is_too_soon_to_repeat(now))
        {
            return Ok(());
        }
        drop(last);
        self.refresh_after(acknowledged).await
    }
}

/// A stream's place among those that wait for each other. Nobody waits for one that does not come to a tick.
#[derive(Debug)]
pub struct Seat {
    label: String,
    refresher: Refresher,
}

impl Seat {
    /// The stream will come to this tick's refresh, and is waited for.
    pub fn comes_to(&self, tick: Instant) {
        self.refresher.writing.send_modify(|writing| {
            writing.insert(self.label.clone(), tick);
        });
    }

    /// The stream has written all it will before this tick's refresh; waits until all that come to it have,
    /// and not long for one that hangs.
    pub async fn ready_with_all(&self, tick: Instant) {
        self.leave();
        let mut others = self.refresher.writing.subscribe();
        let ready = others.wait_for(|writing| writing.values().all(|other| *other > tick));
        let _ = tokio::time::timeout_at(self.patience(tick), ready).await;
    }

    /// Until when a tick's refresh is put off for what was in hand at the tick: half an interval.
    pub fn patience(&self, tick: Instant) -> tokio::time::Instant {
        (tick + self.refresher.interval / 2).into()
    }

    fn leave(&self) {
        self.refresher.writing.send_modify(|writing| {
            writing.remove(&self.label);
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
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
    fn refreshes_of_who_catches_up_take_a_tenth_of_the_time() {
        let ms = Duration::from_millis;
        let started = Instant::now();
        let last = Attempt {
            started,
            took: ms(80),
        };
        assert!(last.is_too_soon_to_repeat(started + ms(799)));
        assert!(!last.is_too_soon_to_repeat(started + ms(800)));
    }

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        let ms = Duration::from_millis;
        for (elapsed, wait) in [(0, 1000), (1, 999), (999, 1), (1000, 1000), (3400, 600)] {
            assert_eq!(until_tick(ms(elapsed), ms(1000)), ms(wait), "{elapsed}");
        }
    }
}
