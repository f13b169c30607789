//! How far behind search is, told every second, also while nobody follows.

use chrono::{DateTime, Utc};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// The last `as_of` of each stream.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<Mutex<BTreeMap<String, DateTime<Utc>>>>);

impl Lag {
    /// Notes how fresh search is for a stream, RFC 3339.
    pub fn as_of(&self, label: &str, as_of: &str) {
        if let Ok(as_of) = DateTime::parse_from_rfc3339(as_of) {
            self.lock().insert(label.to_owned(), as_of.to_utc());
        }
    }

    /// Tells it for ever.
    pub async fn tell(&self) {
        loop {
            for (label, seconds) in self.seconds_behind(Utc::now()) {
                gauge!("follower_seconds_behind", "stream" => label).set(seconds);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn seconds_behind(&self, now: DateTime<Utc>) -> Vec<(String, f64)> {
        let behind = |(label, as_of): (&String, &DateTime<Utc>)| {
            let ms = now.signed_duration_since(as_of).num_milliseconds();
            (label.clone(), ms.max(0) as f64 / 1000.0)
        };
        self.lock().iter().map(behind).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what each of the follower's metrics means.
pub fn describe() {
    describe_gauge!(
        "follower_seconds_behind",
        Unit::Seconds,
        "Age of what a search finds"
    );
    describe_gauge!(
        "follower_transactions_behind",
        "Executed by the server, not yet acknowledged"
    );
    describe_gauge!(
        "follower_bulk_documents_max",
        "Documents in the next bulk, at most: smaller while bulks are put off"
    );
    describe_histogram!(
        "follower_bulk_seconds",
        Unit::Seconds,
        "One bulk request, answer included"
    );
    describe_histogram!(
        "follower_searchable_seconds",
        Unit::Seconds,
        "From a commit until a search finds it, sampled once an interval"
    );
    describe_histogram!(
        "follower_publish_seconds",
        Unit::Seconds,
        "One set of events, acknowledgement included"
    );
    describe_gauge!(
        "follower_snapshot_share",
        "How much of a server's first snapshot is copied, from 0 to 1"
    );
    describe_gauge!(
        "follower_asked_snapshot_share",
        "How much of the snapshot that was asked for is written, from 0 to 1"
    );
    for (name, meaning) in [
        ("follower_events_total", "Binlog events read"),
        (
            "follower_rows_invisible_total",
            "Row changes that nobody outside sees",
        ),
        ("follower_snapshot_rows_total", "Rows copied by snapshots"),
        ("follower_documents_total", "Documents written"),
        (
            "follower_documents_older_total",
            "Documents that were there in a newer version",
        ),
        (
            "follower_dead_letters_total",
            "Changes kept as dead letters",
        ),
        (
            "follower_bulk_retries_total",
            "Bulk requests to be sent again",
        ),
        ("follower_order_events_total", "Events published"),
        (
            "follower_publish_retries_total",
            "Sets of events to be sent again",
        ),
        (
            "follower_reconnects_total",
            "Streams that broke and were opened again",
        ),
    ] {
        describe_counter!(name, meaning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_grows_while_nothing_is_noted() {
        let lag = Lag::default();
        lag.as_of("orders-0", "2026-11-21T09:05:07.000000Z");
        lag.as_of("orders-1", "not a time");
        let now = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let behind = lag.seconds_behind(now("2026-11-21T09:05:08.500Z"));
        assert_eq!(behind, [("orders-0".to_owned(), 1.5)]);
        let behind = lag.seconds_behind(now("2026-11-21T09:06:07Z"));
        assert_eq!(behind, [("orders-0".to_owned(), 60.0)]);
    }
}
