//! A batch's time without acknowledgement: said once, waited through longer each time, and said again
//! when it is over.

use crate::health::Health;
use crate::settings::FollowerSettings;
use metrics::counter;
use std::time::{Duration, Instant};

/// Where the changes of a batch go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// The index.
    Search,
    /// The topic of events.
    Events,
}

impl Sink {
    const fn name(self) -> &'static str {
        match self {
            Self::Search => "Elasticsearch",
            Self::Events => "Kafka",
        }
    }

    const fn retries(self) -> &'static str {
        match self {
            Self::Search => "follower_bulk_retries_total",
            Self::Events => "follower_publish_retries_total",
        }
    }

    fn is(self, health: &Health, is: Result<(), String>) {
        match self {
            Self::Search => health.search(is),
            Self::Events => health.events(is),
        }
    }
}

/// What one sink does not take from one stream at the moment.
pub struct Trouble<'a> {
    sink: Sink,
    stream: &'a str,
    settings: &'a FollowerSettings,
    health: &'a Health,
    delays: backon::ExponentialBackoff,
    since: Option<Instant>,
    stalled: bool,
}

impl<'a> Trouble<'a> {
    /// None yet.
    pub fn new(
        sink: Sink,
        stream: &'a str,
        settings: &'a FollowerSettings,
        health: &'a Health,
    ) -> Self {
        Self {
            sink,
            stream,
            settings,
            health,
            delays: settings.backoff(),
            since: None,
            stalled: false,
        }
    }

    /// Waits before the next attempt.
    pub async fn wait(&mut self, cause: &str) {
        counter!(self.sink.retries(), "stream" => self.stream.to_owned()).increment(1);
        self.tell(cause);
        let longest = Duration::from_millis(self.settings.backoff_max_ms);
        tokio::time::sleep(self.delays.next().unwrap_or(longest)).await;
    }

    /// Says it: in the log once, and once more when it has become a stall; to the readiness always.
    pub fn tell(&mut self, cause: &str) {
        let (sink, stream) = (self.sink.name(), self.stream);
        let since = *self.since.get_or_insert_with(|| {
            tracing::warn!(
                stream,
                cause,
                "{sink} does not take the changes; the follower waits at its position."
            );
            Instant::now()
        });
        let stall_after = Duration::from_millis(self.settings.stall_after_ms);
        if since.elapsed() >= stall_after && !self.stalled {
            self.stalled = true;
            tracing::error!(
                stream,
                cause,
                seconds = since.elapsed().as_secs(),
                "The follower is stalled: {sink} has acknowledged nothing for too long."
            );
        }
        self.sink.is(self.health, Err(cause.to_owned()));
    }

    /// Says that it is over, if there was any, and begins anew.
    pub fn over(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        self.sink.is(self.health, Ok(()));
        (self.delays, self.stalled) = (self.settings.backoff(), false);
        tracing::info!(
            stream = self.stream,
            seconds = since.elapsed().as_secs_f64(),
            "{} takes changes again.",
            self.sink.name()
        );
    }
}

/// Whoever gives up does not know any more. Who still has trouble tells of it at his next attempt.
impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        if self.since.is_some() {
            self.sink.is(self.health, Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{DEFAULT_TOML, Settings};

    #[test]
    fn trouble_is_shown_until_it_is_over_or_given_up() {
        let settings: Settings = service::settings::load(DEFAULT_TOML, None).unwrap();
        let health = Health::waiting_for(std::iter::empty());
        health.stands_by();
        let is_well = || health.readiness().check().is_ok();
        for sink in [Sink::Search, Sink::Events] {
            let mut trouble = Trouble::new(sink, "orders-0", &settings.follower, &health);
            trouble.tell("away");
            assert!(!is_well());
            trouble.over();
            assert!(is_well());
            trouble.tell("away again");
            assert!(!is_well());
            drop(trouble);
            assert!(is_well());
        }
    }
}
