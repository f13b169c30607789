//! The producer of events that all streams share: one that gives up no record, lets none pass another, and is
//! replaced when librdkafka has given up on it for good.
//!
//! Each record carries a [`Ticket`], which tells of a refusal however the record ends.

use crate::settings::EventsSettings;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use service::dead_producer::retire;
use service::kafka::KafkaSettings;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// The producer that all streams share.
pub struct EventProducer {
    /// Replaced when librdkafka gives up on it for good.
    producer: RwLock<Arc<ThreadedProducer<Deliveries>>>,
    kafka: KafkaSettings,
    settings: EventsSettings,
}

impl EventProducer {
    /// Does not wait for Kafka.
    pub fn new(kafka: &KafkaSettings, settings: &EventsSettings) -> Result<Self, KafkaError> {
        Ok(Self {
            producer: RwLock::new(open(kafka, settings)?),
            kafka: kafka.clone(),
            settings: settings.clone(),
        })
    }

    /// The topic of events.
    pub(crate) fn topic(&self) -> &str {
        &self.kafka.events_topic
    }

    /// How long Kafka may be silent before it is told of.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.settings.socket_timeout_ms)
    }

    /// The one that takes records now.
    pub(crate) fn current(&self) -> Arc<ThreadedProducer<Deliveries>> {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&producer)
    }

    /// A producer that has met a fatal error takes no more records; the next one is a fresh one.
    pub(crate) fn replace_if_dead(&self) {
        if self.current().client().fatal_error().is_none() {
            return;
        }
        let mut producer = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Another stream may have been quicker.
        let Some((_, cause)) = producer.client().fatal_error() else {
            return;
        };
        match open(&self.kafka, &self.settings) {
            Ok(fresh) => {
                tracing::error!(
                    cause,
                    "The producer of events met a fatal error and is replaced."
                );
                retire(std::mem::replace(&mut *producer, fresh));
            }
            Err(error) => {
                tracing::error!(cause, %error, "The producer of events cannot be replaced.")
            }
        }
    }
}

fn open(
    kafka: &KafkaSettings,
    settings: &EventsSettings,
) -> Result<Arc<ThreadedProducer<Deliveries>>, KafkaError> {
    let mut config = kafka.client_config();
    config
        .set("client.id", "cdc-sync")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // A refusal with later ones behind it is fatal, so that none of those comes to stand before it.
        .set("enable.gapless.guarantee", "true")
        .set("partitioner", "murmur2_random")
        // None is ever given up, or a later version could come to stand before it.
        .set("message.timeout.ms", "0")
        .set("socket.timeout.ms", settings.socket_timeout_ms.to_string())
        .set("linger.ms", settings.linger_ms.to_string())
        .set(
            "queue.buffering.max.kbytes",
            settings.queue_kbytes_max.to_string(),
        )
        .set_log_level(RDKafkaLogLevel::Warning);
    config.create_with_context(Deliveries).map(Arc::new)
}

/// An event on its way. A set of them is done when the last of its tickets is gone.
pub(crate) struct Ticket {
    /// Its place in the set.
    place: usize,
    refusals: mpsc::UnboundedSender<Refusal>,
    /// What became of it.
    pub(crate) outcome: Result<(), String>,
}

/// An event that was not acknowledged.
pub(crate) struct Refusal {
    /// Its place in the set.
    pub(crate) place: usize,
    /// Why.
    pub(crate) cause: String,
}

impl Ticket {
    /// Whoever lets go of it before the outcome is known tells of a refusal.
    pub(crate) fn new(place: usize, refusals: mpsc::UnboundedSender<Refusal>) -> Box<Self> {
        Box::new(Self {
            place,
            refusals,
            outcome: Err("the producer has let it go".to_owned()),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (place, outcome) = (self.place, std::mem::replace(&mut self.outcome, Ok(())));
        if let Err(cause) = outcome {
            // Nobody listens any more where the follower stops.
            let _ = self.refusals.send(Refusal { place, cause });
        }
    }
}

/// What the producer does with Kafka's answers.
pub(crate) struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, mut ticket: Box<Ticket>) {
        ticket.outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.to_string()),
        };
    }
}
