//! What the engine's meters show.

use metrics::atomics::AtomicU64;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// Keeps what its thread's counters and gauges come to, and how often its histograms were told
/// something.
#[derive(Default)]
pub struct Meters(Mutex<HashMap<Key, Arc<AtomicU64>>>);

impl Meters {
    /// What the counter has counted of the shard.
    pub fn counter(&self, name: &'static str, shard: &'static str) -> u64 {
        self.count(name, &[("shard", shard)])
    }

    /// What the counter has counted, or how often the histogram was told something, under these
    /// labels.
    pub fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> u64 {
        self.shown(name, labels).unwrap_or(0)
    }

    /// What the gauge shows of the shard; nothing if it was never set.
    pub fn gauge(&self, name: &'static str, shard: &'static str) -> Option<f64> {
        self.shown(name, &[("shard", shard)]).map(f64::from_bits)
    }

    fn shown(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Option<u64> {
        let meters = self.0.lock().unwrap();
        let meter = meters.get(&Key::from_parts(name, labels))?;
        Some(meter.load(Ordering::Relaxed))
    }

    fn meter(&self, key: &Key) -> Arc<AtomicU64> {
        let mut meters = self.0.lock().unwrap();
        meters.entry(key.clone()).or_default().clone()
    }
}

impl Recorder for Meters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.meter(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.meter(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Told(self.meter(key))))
    }
}

/// Counts how often a histogram is told something.
struct Told(Arc<AtomicU64>);

impl HistogramFn for Told {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
