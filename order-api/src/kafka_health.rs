//! Whether Kafka can be reached, and whether the topic is fit for money.
//!
//! When no broker is connected an order is refused at once, before it stands in the producer's
//! queue: only so can it be promised that nothing will ever come of it.

use crate::order_producer::OrderProducer;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::statistics::Statistics;
use service::admin::Readiness;
use service::kafka::KafkaSettings;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const MS_PER_DAY: u64 = 24 * 60 * 60 * 1000;

/// Shared by the producer's callbacks and those who ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct KafkaHealth(Arc<AtomicBool>);

impl KafkaHealth {
    /// Whether a broker was connected a moment ago.
    pub(crate) fn reachable(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, reachable: bool) {
        if self.0.swap(reachable, Ordering::Relaxed) == reachable {
            return;
        }
        metrics::gauge!("order_api_kafka_reachable").set(f64::from(u8::from(reachable)));
        if reachable {
            tracing::info!("Kafka can be reached.");
        } else {
            tracing::warn!("No Kafka broker is connected; orders are refused until one is.");
        }
    }
}

impl ClientContext for KafkaHealth {
    fn stats(&self, statistics: Statistics) {
        let up = |state: &str| matches!(state, "UP" | "UPDATE");
        self.set(statistics.brokers.values().any(|b| up(&b.state)));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.set(false);
        } else {
            tracing::debug!(%error, reason, "Kafka's client reports a fault.");
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "Kafka's client says something.");
    }
}

/// Looks for Kafka while it cannot be reached, and at the topic until it was found fit. Ready means
/// that both were good once: an API that cannot take orders still answers about them.
pub(crate) async fn watch(
    producer: Arc<OrderProducer>,
    kafka: KafkaSettings,
    retention_days_min: u64,
    interval: Duration,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let mut fit = false;
    loop {
        if !producer.health().reachable() && can_reach(&producer, &kafka).await {
            producer.health().set(true);
        }
        if !fit && producer.health().reachable() {
            let checked = check_topic(&kafka, retention_days_min).await;
            if let Err(error) = &checked {
                tracing::error!(%error, "The topic of commands is not fit.");
            }
            fit = checked.is_ok();
            readiness.set("kafka", checked.map_err(|error| error.to_string()));
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

async fn can_reach(producer: &Arc<OrderProducer>, kafka: &KafkaSettings) -> bool {
    let (producer, topic) = (producer.current(), kafka.commands_topic.clone());
    let asked = tokio::task::spawn_blocking(move || {
        producer
            .client()
            .fetch_metadata(Some(&topic), PROBE_TIMEOUT)
            .is_ok()
    });
    asked.await.unwrap_or(false)
}

/// Commands are evidence: the topic must exist, keep them long enough, and never compact them.
async fn check_topic(kafka: &KafkaSettings, retention_days_min: u64) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client_config().create()?;
    let topic = kafka.commands_topic.as_str();
    let options = AdminOptions::new().request_timeout(Some(PROBE_TIMEOUT));
    let resource = [ResourceSpecifier::Topic(topic)];
    let config = admin.describe_configs(&resource, &options).await?.pop();
    let config = config
        .ok_or_else(|| anyhow::anyhow!("Kafka says nothing about the topic {topic}"))?
        .map_err(|code| anyhow::anyhow!("Kafka refuses to describe the topic {topic}: {code}"))?;
    let value = |name| {
        let entry = config.get(name).and_then(|entry| entry.value.as_deref());
        entry.unwrap_or("").to_owned()
    };
    let policy = value("cleanup.policy");
    anyhow::ensure!(
        policy == "delete",
        "cleanup.policy of {topic} must be delete, not {policy}"
    );
    let retention = value("retention.ms");
    let enough = match retention.parse::<i64>() {
        Ok(ms) => u64::try_from(ms).map_or(true, |ms| ms >= retention_days_min * MS_PER_DAY),
        Err(_) => false,
    };
    anyhow::ensure!(
        enough,
        "retention.ms of {topic} must be at least {retention_days_min} days or -1, not {retention}"
    );
    Ok(())
}
