//! What the engine's meters show of each shard.

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// Keeps what its thread's counters and gauges come to.
#[derive(Default)]
pub struct Meters(Mutex<HashMap<Key, Arc<AtomicU64>>>);

impl Meters {
    /// What the counter has counted of the shard.
    pub fn counter(&self, name: &'static str, shard: &'static str) -> u64 {
        self.shown(name, shard).unwrap_or(0)
    }

    /// What the gauge shows of the shard; nothing if it was never set.
    pub fn gauge(&self, name: &'static str, shard: &'static str) -> Option<f64> {
        self.shown(name, shard).map(f64::from_bits)
    }

    fn shown(&self, name: &'static str, shard: &'static str) -> Option<u64> {
        let meters = self.0.lock().unwrap();
        let meter = meters.get(&Key::from_parts(name, &[("shard", shard)]))?;
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

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
