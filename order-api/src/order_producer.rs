//! The one producer of `payment.commands`: idempotent, acknowledged by all replicas.
//!
//! Its errors are promises. [`ProduceError::NotEnqueued`] is said only when the record never stood
//! in the producer's queue, so that nothing will ever come of it; once it stood there and was not
//! acknowledged, nobody can know, and it is [`ProduceError::OutcomeUnknown`].

use crate::kafka_health::KafkaHealth;
use domain::{COMMAND_TYPE, CONTENT_TYPE, PaymentCommand, SCHEMA_VERSION, headers};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use serde::{Deserialize, Serialize};
use service::dead_producer::retire;
use service::kafka::KafkaSettings;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Section `[producer]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerSettings {
    /// How long a record waits for company, in milliseconds.
    pub linger_ms: f64,
    /// How long Kafka may take to acknowledge a record, in milliseconds.
    pub message_timeout_ms: u64,
    /// How long a silent broker is waited for, in milliseconds.
    pub socket_timeout_ms: u64,
    /// Most KiB that wait to be sent.
    pub queue_kbytes_max: u64,
    /// Most records that wait to be sent.
    pub queue_messages_max: u64,
    /// How often the connection to Kafka is looked at, in milliseconds.
    pub health_interval_ms: u64,
    /// How long the topic must keep commands, in days.
    pub retention_days_min: u64,
}

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProduceError {
    /// It never stood in the queue: nothing will come of it.
    #[error("the record was not enqueued: {0}")]
    NotEnqueued(String),
    /// It may have reached Kafka or not.
    #[error("the record was not acknowledged: {0}")]
    OutcomeUnknown(String),
}

type KafkaProducer = FutureProducer<KafkaHealth>;

/// Produces payment commands.
pub(crate) struct OrderProducer {
    /// Replaced when librdkafka gives up on it for good.
    producer: RwLock<KafkaProducer>,
    health: KafkaHealth,
    topic: String,
    kafka: KafkaSettings,
    settings: ProducerSettings,
}

impl OrderProducer {
    /// Does not wait for Kafka.
    pub(crate) fn new(kafka: &KafkaSettings, settings: &ProducerSettings) -> anyhow::Result<Self> {
        let health = KafkaHealth::default();
        Ok(Self {
            producer: RwLock::new(make(kafka, settings, &health)?),
            health,
            topic: kafka.commands_topic.clone(),
            kafka: kafka.clone(),
            settings: settings.clone(),
        })
    }

    /// Whether any broker is connected.
    pub(crate) fn health(&self) -> &KafkaHealth {
        &self.health
    }

    /// A handle of the producer of now.
    pub(crate) fn current(&self) -> KafkaProducer {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
        producer.clone()
    }

    /// Produces the command and waits for Kafka's acknowledgement. `wake` is the API instance that
    /// waits for the outcome.
    pub(crate) async fn produce(
        &self,
        command: &PaymentCommand,
        traceparent: &str,
        wake: Option<&str>,
    ) -> Result<(), ProduceError> {
        let not_enqueued = |cause: &dyn std::fmt::Display| {
            metrics::counter!("order_api_produce_failures_total", "code" => "not_enqueued")
                .increment(1);
            Err(ProduceError::NotEnqueued(cause.to_string()))
        };
        if !self.health.takes_orders() {
            return not_enqueued(&"no Kafka broker is connected, or the topic is not fit");
        }
        let delivery = match self.enqueue(command, traceparent, wake) {
            Ok(delivery) => delivery,
            Err(error) => return not_enqueued(&error),
        };
        let error = match delivery.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err((error, _))) => error.to_string(),
            Err(_) => "the producer was closed".to_owned(),
        };
        metrics::counter!("order_api_produce_failures_total", "code" => "outcome_unknown")
            .increment(1);
        Err(ProduceError::OutcomeUnknown(error))
    }

    fn enqueue(
        &self,
        command: &PaymentCommand,
        traceparent: &str,
        wake: Option<&str>,
    ) -> Result<DeliveryFuture, String> {
        let key = command.order_id.to_string();
        let value = serde_json::to_vec(command).map_err(|error| error.to_string())?;
        let record = FutureRecord::to(&self.topic)
            .key(&key)
            .payload(&value)
            .headers(record_headers(traceparent, wake));
        // Whoever replaces the producer is to have the last handle of it.
        let sent = self.current().send_result(record);
        match sent {
            Ok(delivery) => Ok(delivery),
            Err((error, _)) => {
                if error == KafkaError::MessageProduction(RDKafkaErrorCode::Fatal) {
                    self.replace();
                }
                Err(error.to_string())
            }
        }
    }

    /// A producer that has met a fatal error takes no more records; the next one is a fresh one.
    fn replace(&self) {
        let mut producer = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some((_, cause)) = producer.client().fatal_error() else {
            return;
        };
        match make(&self.kafka, &self.settings, &self.health) {
            Ok(fresh) => {
                tracing::error!(cause, "The producer met a fatal error and is replaced.");
                retire(Box::new(std::mem::replace(&mut *producer, fresh)));
            }
            Err(error) => tracing::error!(cause, %error, "The producer cannot be replaced."),
        }
    }

    /// Waits until everything enqueued is acknowledged or given up. Blocks.
    pub(crate) fn flush(&self) {
        let timeout = Duration::from_millis(self.settings.message_timeout_ms + 500);
        if let Err(error) = self.current().flush(timeout) {
            tracing::warn!(%error, "Some records were not acknowledged before the end.");
        }
    }
}

fn make(
    kafka: &KafkaSettings,
    settings: &ProducerSettings,
    health: &KafkaHealth,
) -> anyhow::Result<KafkaProducer> {
    let producer = kafka
        .client_config()
        .set("client.id", "order-api")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", settings.linger_ms.to_string())
        .set(
            "message.timeout.ms",
            settings.message_timeout_ms.to_string(),
        )
        .set("socket.timeout.ms", settings.socket_timeout_ms.to_string())
        .set(
            "queue.buffering.max.kbytes",
            settings.queue_kbytes_max.to_string(),
        )
        .set(
            "queue.buffering.max.messages",
            settings.queue_messages_max.to_string(),
        )
        .set(
            "statistics.interval.ms",
            settings.health_interval_ms.to_string(),
        )
        .create_with_context(health.clone())?;
    Ok(producer)
}

fn record_headers(traceparent: &str, wake: Option<&str>) -> OwnedHeaders {
    let version = SCHEMA_VERSION.to_string();
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    let record_headers = OwnedHeaders::new_with_capacity(5)
        .insert(header(headers::TYPE, COMMAND_TYPE))
        .insert(header(headers::CONTENT_TYPE, CONTENT_TYPE))
        .insert(header(headers::SCHEMA_VERSION, &version))
        .insert(header(headers::TRACEPARENT, traceparent));
    match wake {
        Some(instance) => record_headers.insert(header(headers::WAKE, instance)),
        None => record_headers,
    }
}
