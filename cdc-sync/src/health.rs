//! Whether the follower does its work, for `/readyz`: each server's stream, Elasticsearch, and Kafka.

use service::admin::Readiness;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of the readiness that speaks for all streams.
const STREAMS: &str = "streams";
/// The part that speaks for Elasticsearch.
const SEARCH: &str = "search";
/// The part that speaks for the topic of events.
const EVENTS: &str = "events";

/// Gathers what each stream says into the service's readiness.
#[derive(Debug, Clone)]
pub struct Health {
    readiness: Readiness,
    labels: Arc<[String]>,
    acts: Arc<AtomicBool>,
    bad_streams: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Health {
    /// Not ready until each of these streams and Elasticsearch are good.
    pub fn waiting_for<'a>(streams: impl Iterator<Item = &'a str>) -> Self {
        let labels: Arc<[String]> = streams.map(str::to_owned).collect();
        Self {
            readiness: Readiness::waiting_for(&[STREAMS, SEARCH]),
            bad_streams: Arc::new(Mutex::new(not_followed(&labels))),
            labels,
            acts: Arc::default(),
        }
    }

    /// Says that this follower begins to act: not ready until each stream is good.
    pub fn acts(&self) {
        self.acts.store(true, Ordering::Relaxed);
        self.streams(not_followed(&self.labels));
    }

    /// Says that this follower stands by, which is all it has to do.
    pub fn stands_by(&self) {
        self.acts.store(false, Ordering::Relaxed);
        self.search(Ok(()));
        self.events(Ok(()));
        self.streams(BTreeMap::new());
    }

    /// Whether this follower is the one that acts.
    pub fn is_acting(&self) -> bool {
        self.acts.load(Ordering::Relaxed)
    }

    fn streams(&self, bad: BTreeMap<String, String>) {
        *self.lock() = bad;
        self.tell_streams();
    }

    /// What the admin port asks.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Says how one stream is.
    pub fn stream(&self, label: &str, is: Result<(), String>) {
        match is {
            Ok(()) => self.lock().remove(label),
            Err(cause) => self.lock().insert(label.to_owned(), cause),
        };
        self.tell_streams();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        let bad = self.bad_streams.lock();
        bad.unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_streams(&self) {
        // Held until it is told, so that what is told last is what was so last.
        let bad = self.lock();
        let texts: Vec<String> = bad
            .iter()
            .map(|(l, cause)| format!("{l}: {cause}"))
            .collect();
        let all = if texts.is_empty() {
            Ok(())
        } else {
            Err(texts.join("; "))
        };
        self.readiness.set(STREAMS, all);
    }

    /// Says how Elasticsearch is.
    pub fn search(&self, is: Result<(), String>) {
        self.readiness.set(SEARCH, is);
    }

    /// Says whether Kafka takes the events.
    pub fn events(&self, is: Result<(), String>) {
        self.readiness.set(EVENTS, is);
    }
}

fn not_followed(labels: &[String]) -> BTreeMap<String, String> {
    let waiting = |label: &String| (label.clone(), "not followed yet".to_owned());
    labels.iter().map(waiting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_stream_is_enough_and_is_named() {
        let health = Health::waiting_for(["orders-0", "orders-1"].into_iter());
        health.search(Ok(()));
        health.stream("orders-0", Ok(()));
        let missing = health.readiness().check().unwrap_err();
        assert_eq!(missing["streams"], "orders-1: not followed yet");
        health.stream("orders-1", Ok(()));
        assert!(health.readiness().check().is_ok());
        health.stream("orders-0", Err("away".into()));
        assert!(health.readiness().check().is_err());
        health.stands_by();
        assert!(!health.is_acting());
        assert!(health.readiness().check().is_ok());
        health.acts();
        assert!(health.is_acting());
        assert!(health.readiness().check().is_err());
    }
}
