//! Publishes every version of every order to the topic of events, and returns once Kafka has
//! acknowledged it.
//!
//! The changes come from the rows' own binlog, and the position is saved only after the
//! acknowledgement, so no event can be forgotten; after a crash the events after the saved position
//! come again, with the same ids. Of one order each version comes first after the one before it:
//! the producer is idempotent and its records have no time-out, so none is given up in front of a later
//! one; should one be refused all the same, it and all after it are sent again. Only a snapshot, which
//! knows nothing but the newest version, may tell of a version before the stream brings an older one.

use crate::document::Document;
use crate::error::{Definite, FollowError};
use crate::health::Health;
use crate::order_event::headers_of;
use crate::settings::{EventsSettings, FollowerSettings};
use crate::trouble::{Sink, Trouble};
use metrics::{counter, histogram};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use service::kafka::KafkaSettings;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long the producer's full queue is left to empty.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// The producer that all streams share.
pub struct EventProducer {
    /// Replaced when librdkafka gives up on it for good.
    producer: RwLock<FutureProducer>,
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

    fn current(&self) -> FutureProducer {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
        producer.clone()
    }

    /// A producer that has met a fatal error takes no more records; the next one is a fresh one.
    fn replace_if_dead(&self) {
        let mut producer = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some((_, cause)) = producer.client().fatal_error() else {
            return;
        };
        match open(&self.kafka, &self.settings) {
            Ok(fresh) => {
                tracing::error!(
                    cause,
                    "The producer of events met a fatal error and is replaced."
                );
                *producer = fresh;
            }
            Err(error) => {
                tracing::error!(cause, %error, "The producer of events cannot be replaced.")
            }
        }
    }
}

fn open(kafka: &KafkaSettings, settings: &EventsSettings) -> Result<FutureProducer, KafkaError> {
    let mut config = kafka.client_config();
    config
        .set("client.id", "cdc-sync")
        .set("enable.idempotence", "true")
        .set("acks", "all")
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
    config.create()
}

/// Publishes on behalf of one stream.
pub struct EventPublisher {
    /// Shared by all streams.
    pub producer: Arc<EventProducer>,
    /// How long it waits between attempts, and when it calls itself stalled.
    pub settings: FollowerSettings,
    /// Where it says how Kafka is.
    pub health: Health,
    /// The stream.
    pub label: String,
}

/// Events that were not acknowledged.
struct Refused {
    /// The place of the first one.
    first: usize,
    cause: String,
}

impl EventPublisher {
    /// Publishes these changes in this order, however long that takes.
    pub async fn publish(&self, changes: &[Arc<Document>]) -> Result<(), FollowError> {
        let mut trouble = Trouble::new(Sink::Events, &self.label, &self.settings, &self.health);
        let mut open = changes;
        while !open.is_empty() {
            let begun = Instant::now();
            let refused = self.attempt(open, &mut trouble).await?;
            histogram!("follower_publish_seconds", "stream" => self.label.clone())
                .record(begun.elapsed().as_secs_f64());
            let published = refused.as_ref().map_or(open.len(), |refused| refused.first);
            counter!("follower_order_events_total", "stream" => self.label.clone())
                .increment(published as u64);
            open = open.get(published..).unwrap_or_default();
            match refused {
                Some(Refused { cause, .. }) => trouble.wait(&cause).await,
                None => trouble.over(),
            }
        }
        Ok(())
    }

    /// Sends all of them and waits until each is acknowledged or refused.
    async fn attempt(
        &self,
        changes: &[Arc<Document>],
        trouble: &mut Trouble<'_>,
    ) -> Result<Option<Refused>, FollowError> {
        let patience = Duration::from_millis(self.producer.settings.socket_timeout_ms);
        let attempt = self.send(changes);
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                refused = &mut attempt => return refused,
                () = tokio::time::sleep(patience) => {
                    let ms = patience.as_millis();
                    trouble.tell(&format!("Kafka has not acknowledged events for {ms} ms"));
                }
            }
        }
    }

    async fn send(&self, changes: &[Arc<Document>]) -> Result<Option<Refused>, FollowError> {
        let producer = self.producer.current();
        let mut deliveries = Vec::with_capacity(changes.len());
        let mut refused = None;
        for document in changes {
            match self.enqueue(&producer, document).await? {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => {
                    refused = Some(error.to_string());
                    break;
                }
            }
        }
        let enqueued = deliveries.len();
        for (first, delivery) in deliveries.into_iter().enumerate() {
            let cause = match delivery.await {
                Ok(Ok(_)) => continue,
                Ok(Err((error, _))) => error.to_string(),
                Err(_) => "the producer was closed".to_owned(),
            };
            self.producer.replace_if_dead();
            return Ok(Some(Refused { first, cause }));
        }
        let Some(cause) = refused else {
            return Ok(None);
        };
        self.producer.replace_if_dead();
        Ok(Some(Refused {
            first: enqueued,
            cause,
        }))
    }

    /// Puts one event in the producer's queue, as soon as there is room.
    async fn enqueue(
        &self,
        producer: &FutureProducer,
        document: &Document,
    ) -> Result<Result<DeliveryFuture, KafkaError>, FollowError> {
        let value =
            serde_json::to_vec(document).map_err(|error| Definite::Event(error.to_string()))?;
        let key = document.order_id.to_string();
        let mut record = FutureRecord::to(&self.producer.kafka.events_topic)
            .key(&key)
            .payload(&value)
            .headers(headers_of(document));
        loop {
            match producer.send_result(record) {
                Ok(delivery) => return Ok(Ok(delivery)),
                Err((error, same)) if is_full(&error) => {
                    record = same;
                    tokio::time::sleep(QUEUE_PAUSE).await;
                }
                Err((error, _)) => return Ok(Err(error)),
            }
        }
    }
}

fn is_full(error: &KafkaError) -> bool {
    *error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
}
