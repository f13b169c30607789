//! What every long-running service shares: settings in layers, logs, metrics, probes, shutdown,
//! and the connection settings of Kafka, Redis and Elasticsearch.

pub mod admin;
pub mod args;
pub mod dead_producer;
pub mod kafka;
pub mod logs;
pub mod metrics;
pub mod redis;
pub mod search;
pub mod settings;
pub mod shutdown;
mod steady_waits;

/// Installs what must stand before anything else: the one TLS provider of the process.
pub fn start(name: &'static str) {
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing::debug!(service = name, "The TLS provider is installed.");
}
