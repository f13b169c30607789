//! Whether the follower does its work, for `/readyz`: each server's stream, and Elasticsearch.

use service::admin::Readiness;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The part of the readiness that speaks for all streams.
const STREAMS: &str = "streams";
/// The part that speaks for Elasticsearch.
const SEARCH: &str = "search";

/// Gathers what each stream says into the service's readiness.
#[derive(Debug, Clone)]
pub struct Health {
    readiness: Readiness,
    bad_streams: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Health {
    /// Not ready until each of these streams and Elasticsearch are good.
    pub fn waiting_for<'a>(streams: impl Iterator<Item = &'a str>) -> Self {
        let waiting = |label: &str| (label.to_owned(), "not followed yet".to_owned());
        Self {
            readiness: Readiness::waiting_for(&[STREAMS, SEARCH]),
            bad_streams: Arc::new(Mutex::new(streams.map(waiting).collect())),
        }
    }

    /// What the admin port asks.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Says how one stream is.
    pub fn stream(&self, label: &str, is: Result<(), String>) {
        let mut bad = self
            .bad_streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match is {
            Ok(()) => bad.remove(label),
            Err(cause) => bad.insert(label.to_owned(), cause),
        };
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
    }
}
