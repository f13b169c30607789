//! Whether Kafka can be reached, and whether the topic is fit for money.
//!
//! When no broker is connected an order is refused at once, before it stands in the producer's
//! queue: only so can it be promised that nothing will ever come of it.

use crate::order_producer::OrderProducer;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
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
pub(crate) struct KafkaHealth(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    connected: AtomicBool,
    topic_unfit: AtomicBool,
}

/// What looking at the topic of commands brought.
#[derive(Debug, thiserror::Error)]
enum TopicError {
    /// Kafka was asked and says so.
    #[error("{0}")]
    Unfit(String),
    /// Kafka could not be asked.
    #[error("the topic of commands cannot be looked at: {0}")]
    Unasked(String),
}

impl KafkaHealth {
    /// Whether a broker was connected a moment ago and the topic is not known to be unfit.
    pub(crate) fn takes_orders(&self) -> bool {
        self.connected() && !self.0.topic_unfit.load(Ordering::Relaxed)
    }

    fn connected(&self) -> bool {
        self.0.connected.load(Ordering::Relaxed)
    }

    fn set_connected(&self, connected: bool) {
        if self.0.connected.swap(connected, Ordering::Relaxed) == connected {
            return;
        }
        metrics::gauge!("order_api_kafka_connected").set(f64::from(u8::from(connected)));
        if connected {
            tracing::info!("Kafka can be reached.");
        } else {
            tracing::warn!("No Kafka broker is connected; orders are refused until one is.");
        }
    }
}

impl ClientContext for KafkaHealth {
    fn stats(&self, statistics: Statistics) {
        metrics::gauge!("order_api_producer_queue_records").set(statistics.msg_cnt as f64);
        let up = |state: &str| matches!(state, "UP" | "UPDATE");
        self.set_connected(statistics.brokers.values().any(|b| up(&b.state)));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.set_connected(false);
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
    let health = producer.health();
    let (mut fit, mut last_cause) = (false, String::new());
    loop {
        if !health.connected() && can_reach(&producer, &kafka).await {
            health.set_connected(true);
        }
        if !fit && health.connected() {
            let checked = check_topic(&kafka, retention_days_min).await;
            let unfit = matches!(&checked, Err(TopicError::Unfit(_)));
            health.0.topic_unfit.store(unfit, Ordering::Relaxed);
            let cause = checked.map_err(|error| error.to_string()).err();
            if let Some(cause) = cause.as_ref().filter(|cause| **cause != last_cause) {
                tracing::error!(cause, "Orders cannot be put on Kafka as they should.");
                last_cause.clone_from(cause);
            }
            fit = cause.is_none();
            readiness.set("kafka", cause.map_or(Ok(()), Err));
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
async fn check_topic(kafka: &KafkaSettings, retention_days_min: u64) -> Result<(), TopicError> {
    let topic = kafka.commands_topic.as_str();
    let config = describe(kafka, topic).await?;
    let value = |name| {
        let entry = config.get(name).and_then(|entry| entry.value.as_deref());
        entry.unwrap_or("").to_owned()
    };
    let policy = value("cleanup.policy");
    if policy.is_empty() {
        return Err(TopicError::Unfit(format!("there is no topic {topic}")));
    }
    if policy != "delete" {
        let text = format!("cleanup.policy of {topic} must be delete, not {policy}");
        return Err(TopicError::Unfit(text));
    }
    let retention = value("retention.ms");
    let enough = match retention.parse::<i64>() {
        // A negative one is for ever.
        Ok(ms) => u64::try_from(ms).map_or(true, |ms| ms >= retention_days_min * MS_PER_DAY),
        Err(_) => false,
    };
    if enough {
        return Ok(());
    }
    let least = format!("at least {retention_days_min} days or -1");
    let text = format!("retention.ms of {topic} must be {least}, not {retention}");
    Err(TopicError::Unfit(text))
}

async fn describe(kafka: &KafkaSettings, topic: &str) -> Result<ConfigResource, TopicError> {
    let unasked = |error: KafkaError| TopicError::Unasked(error.to_string());
    let admin: AdminClient<DefaultClientContext> =
        kafka.client_config().create().map_err(unasked)?;
    let options = AdminOptions::new().request_timeout(Some(PROBE_TIMEOUT));
    let resource = [ResourceSpecifier::Topic(topic)];
    let mut answers = admin
        .describe_configs(&resource, &options)
        .await
        .map_err(unasked)?;
    match answers.pop() {
        Some(Ok(config)) => Ok(config),
        Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            Err(TopicError::Unfit(format!("there is no topic {topic}")))
        }
        Some(Err(code)) => Err(TopicError::Unasked(code.to_string())),
        None => Err(TopicError::Unasked("Kafka says nothing".to_owned())),
    }
}
