//! Publishes every version of every order to the topic of events, and returns once Kafka has
//! acknowledged it.
//!
//! The changes come from the rows' own binlog, and the position is saved only after the
//! acknowledgement, so no event can be forgotten; after a crash the events after the saved position
//! come again, with the same ids. Of one order each version comes first after the one before it:
//! the producer is idempotent and its records have no time-out, so none is given up in front of a later
//! one; should one be refused all the same, it and all after it are sent again. Only a snapshot, which
//! knows nothing but the newest version, may tell of a version before the stream brings an older one.

use crate::health::Health;
use crate::order_event::headers_of;
use crate::rendered_document::RenderedDocument;
use crate::settings::{EventsSettings, FollowerSettings};
use crate::trouble::{Sink, Trouble};
use metrics::{counter, histogram};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::util::Timeout;
use service::kafka::KafkaSettings;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the producer's full queue is left to empty.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

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

    fn current(&self) -> Arc<ThreadedProducer<Deliveries>> {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&producer)
    }

    /// A producer that has met a fatal error takes no more records; the next one is a fresh one.
    fn replace_if_dead(&self) {
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

/// Gives back every event that a dead producer still has, however long it takes to let go of them: on a
/// thread of its own, since all of this blocks.
fn retire(dead: Arc<ThreadedProducer<Deliveries>>) {
    std::thread::spawn(move || {
        dead.purge(PurgeConfig::default().queue().inflight());
        // Fails only where there is an end to the time; a dead producer gets nothing new.
        let _ = dead.flush(Timeout::Never);
    });
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
struct Ticket {
    /// Its place in the set.
    place: usize,
    refusals: mpsc::UnboundedSender<Refusal>,
    /// What became of it.
    outcome: Result<(), String>,
}

/// An event that was not acknowledged.
struct Refusal {
    /// Its place in the set.
    place: usize,
    cause: String,
}

impl Ticket {
    fn new(place: usize, refusals: mpsc::UnboundedSender<Refusal>) -> Box<Self> {
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

/// What the producer does with its answers.
struct Deliveries;

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

impl EventPublisher {
    /// Publishes these changes in this order, however long that takes.
    pub async fn publish(&self, changes: &[Arc<RenderedDocument>]) {
        let mut trouble = Trouble::new(Sink::Events, &self.label, &self.settings, &self.health);
        let mut open = changes;
        while !open.is_empty() {
            let begun = Instant::now();
            let refusal = self.attempt(open, &mut trouble).await;
            histogram!("follower_publish_seconds", "stream" => self.label.clone())
                .record(begun.elapsed().as_secs_f64());
            let published = refusal.as_ref().map_or(open.len(), |refusal| refusal.place);
            counter!("follower_order_events_total", "stream" => self.label.clone())
                .increment(published as u64);
            open = open.get(published..).unwrap_or_default();
            match refusal {
                Some(Refusal { cause, .. }) => trouble.wait(&cause).await,
                None => trouble.over(),
            }
        }
    }

    /// Sends all of them and waits until each is acknowledged or refused; answers the first one refused.
    async fn attempt(
        &self,
        changes: &[Arc<RenderedDocument>],
        trouble: &mut Trouble<'_>,
    ) -> Option<Refusal> {
        let patience = Duration::from_millis(self.producer.settings.socket_timeout_ms);
        let attempt = self.send(changes);
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                refusal = &mut attempt => return refusal,
                () = tokio::time::sleep(patience) => {
                    let ms = patience.as_millis();
                    trouble.tell(&format!("Kafka has not acknowledged events for {ms} ms"));
                    // What died with these in its hands gives them back.
                    self.producer.replace_if_dead();
                }
            }
        }
    }

    async fn send(&self, changes: &[Arc<RenderedDocument>]) -> Option<Refusal> {
        let producer = self.producer.current();
        let (refusals, mut refused) = mpsc::unbounded_channel();
        for (place, document) in changes.iter().enumerate() {
            let ticket = Ticket::new(place, refusals.clone());
            if !self.enqueue(&producer, document, ticket).await {
                break;
            }
        }
        // From here on only tickets hold a sender; and whoever replaces the producer is to drop it, not we.
        drop((refusals, producer));
        let mut first: Option<Refusal> = None;
        while let Some(next) = refused.recv().await {
            match &first {
                Some(known) if known.place < next.place => {}
                Some(_) => first = Some(next),
                None => {
                    first = Some(next);
                    self.producer.replace_if_dead();
                }
            }
        }
        first
    }

    /// Puts one event in the producer's queue, as soon as there is room; whether the producer took it.
    async fn enqueue(
        &self,
        producer: &ThreadedProducer<Deliveries>,
        document: &RenderedDocument,
        ticket: Box<Ticket>,
    ) -> bool {
        let key = document.order_id.to_string();
        let mut record = BaseRecord::with_opaque_to(&self.producer.kafka.events_topic, ticket)
            .key(&key)
            .payload(&*document.json)
            .headers(headers_of(document, &key));
        loop {
            match producer.send(record) {
                Ok(()) => return true,
                Err((error, same)) if is_full(&error) => {
                    record = same;
                    tokio::time::sleep(QUEUE_PAUSE).await;
                }
                Err((error, mut refused)) => {
                    refused.delivery_opaque.outcome = Err(error.to_string());
                    return false;
                }
            }
        }
    }
}

fn is_full(error: &KafkaError) -> bool {
    *error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
}
