//! The process's metrics in the Prometheus text format.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

/// Seconds; from a single round trip to a stalled batch.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0,
];
/// Things in one batch.
const SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Renders what was recorded since the start.
#[derive(Clone)]
pub struct MetricsHandle {
    recorder: PrometheusHandle,
    process: Collector,
}

/// Installs the process's recorder. Histograms end in `_seconds` or `_size`.
pub fn install() -> anyhow::Result<MetricsHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZE_BUCKETS)?
        .install_recorder()?;
    let process = Collector::default();
    process.describe();
    Ok(MetricsHandle { recorder, process })
}

impl MetricsHandle {
    /// The text a scrape gets.
    pub fn render(&self) -> String {
        self.process.collect();
        self.recorder.run_upkeep();
        self.recorder.render()
    }
}
