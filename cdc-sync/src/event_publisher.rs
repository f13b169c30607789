//! Publishes every version of every order to the topic of events, and returns once Kafka has
//! acknowledged it.
//!
//! The changes come from the rows' own binlog, and the position is saved only after the
//! acknowledgement, so no event can be forgotten; after a crash the events after the saved position
//! come again, with the same ids. Of one order each version comes first after the one before it:
//! the producer gives up none in front of a later one ([`crate::event_producer`]); should one be refused
//! all the same, it and all after it are sent again. Only a snapshot, which knows nothing but the newest
//! version, may tell of a version before the stream brings an older one.

use crate::event_producer::{Deliveries, EventProducer, Refusal, Ticket};
use crate::health::Health;
use crate::order_event::headers_of;
use crate::rendered_document::RenderedDocument;
use crate::settings::FollowerSettings;
use crate::trouble::{Sink, Trouble};
use metrics::{counter, histogram};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the producer's full queue is left to empty.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

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
        let patience = self.producer.patience();
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
        let mut record = BaseRecord::with_opaque_to(self.producer.topic(), ticket)
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
