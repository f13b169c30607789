//! Puts a set of dead letters back on the commands' topic, and notes that it did.

use super::journal;
use crate::dead_letter::restored_headers;
use futures_util::future::join_all;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use service::kafka::KafkaSettings;
use std::time::Duration;

/// How long the client may wait for room in its own queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest value that any topic of ours may have been set to take.
const MESSAGE_BYTES_MAX: &str = "67108864";

/// A producer to both topics.
pub struct Outlet {
    producer: FutureProducer,
    commands_topic: String,
    dead_letter_topic: String,
}

/// A letter with the value it is put back with.
pub struct Restored {
    /// The letter.
    pub letter: OwnedMessage,
    /// Its value, or that at its original place.
    pub value: Option<Vec<u8>>,
}

/// What became of a set.
pub struct Sent {
    /// How many were acknowledged, and noted.
    pub letters: u64,
    /// Why one of the others was not.
    pub failure: Option<KafkaError>,
}

impl Outlet {
    /// Each record goes to its key's partition, as from the API.
    pub fn open(kafka: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut config = kafka.client_config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", MESSAGE_BYTES_MAX)
            .set("message.timeout.ms", "30000")
            .set("linger.ms", "5");
        Ok(Self {
            producer: config.create()?,
            commands_topic: kafka.commands_topic.clone(),
            dead_letter_topic: kafka.dead_letter_topic.clone(),
        })
    }

    /// Sends the set and waits for all acknowledgements. The note comes after them: a kill between
    /// sends the set once more the next time, which the order log makes harmless.
    pub async fn send(&self, set: Vec<Restored>) -> anyhow::Result<Sent> {
        let sent = join_all(set.iter().map(|restored| self.send_one(restored))).await;
        let mut acknowledged = Vec::with_capacity(set.len());
        let mut failure = None;
        for (Restored { letter, .. }, sent) in set.iter().zip(sent) {
            match sent {
                Ok(()) => acknowledged.push((letter.partition(), letter.offset())),
                Err(error) => failure = Some(error),
            }
        }
        let letters = acknowledged.len() as u64;
        if letters > 0 {
            self.note(&journal::note(acknowledged)?).await?;
        }
        Ok(Sent { letters, failure })
    }

    async fn send_one(&self, Restored { letter, value }: &Restored) -> Result<(), KafkaError> {
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.commands_topic);
        record.key = letter.key();
        record.payload = value.as_deref();
        let record = record.headers(restored_headers(letter));
        let sent = self.producer.send(record, QUEUE_TIMEOUT).await;
        sent.map(drop).map_err(|(error, _)| error)
    }

    async fn note(&self, note: &str) -> Result<(), KafkaError> {
        let record = FutureRecord::<[u8], str>::to(&self.dead_letter_topic).payload(note);
        let record = record.headers(journal::note_headers());
        let sent = self.producer.send(record, QUEUE_TIMEOUT).await;
        sent.map(drop).map_err(|(error, _)| error)
    }
}
