//! Records that can never be processed go to the dead letter topic, whole, with their cause.
//!
//! A record's offset is committed only after its dead letter was acknowledged: until then it is
//! sent again and again. Key, value and headers are the record's own; ours come after them.

use crate::backoff::Backoff;
use crate::decode::Cause;
use crate::meters;
use crate::origin::{Origin, copied_headers};
use crate::record::Record;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};
use service::kafka::KafkaSettings;
use std::time::Duration;

const CAUSE: &str = "cause";
const CAUSE_CLASS: &str = "cause-class";
/// Present when the value was too long even for the dead letter topic: its length. The value is
/// still at its original place.
const OMITTED_BYTES: &str = "value-omitted-bytes";
/// A redriven record that fails again gets these anew.
const OURS: [&str; 3] = [CAUSE, CAUSE_CLASS, OMITTED_BYTES];
const CAUSE_CHARS_MAX: usize = 500;
const RETRY: Backoff = Backoff {
    min_ms: 200,
    max_ms: 5_000,
};

/// The producer of dead letters. Cloning shares it.
#[derive(Clone)]
pub struct DeadLetters {
    producer: FutureProducer,
    topic: String,
    commands_topic: String,
}

impl DeadLetters {
    /// By this producer.
    pub fn new(producer: FutureProducer, kafka: &KafkaSettings) -> Self {
        Self {
            producer,
            topic: kafka.dead_letter_topic.clone(),
            commands_topic: kafka.commands_topic.clone(),
        }
    }

    /// Returns when the broker has acknowledged the dead letter; tries until then.
    pub async fn bury(&self, record: &Record, cause: &Cause) {
        let Origin {
            partition, offset, ..
        } = Origin::of(record);
        let class = cause.class.as_str();
        let mut failures = 0;
        let mut whole = true;
        while let Err(error) = self.send(record, cause, whole).await {
            failures += 1;
            meters::dead_letter_failed();
            tracing::warn!(partition, offset, class, %error, "A dead letter was not acknowledged; it is sent again.");
            whole &= error != KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
        }
        meters::dead_letter(class);
        tracing::warn!(partition, offset, class, cause = %cause.text, "A record became a dead letter.");
    }

    async fn send(&self, record: &Record, cause: &Cause, whole: bool) -> Result<(), KafkaError> {
        let headers = self.headers(record, cause, whole);
        let mut letter = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        letter.key = record.key.as_deref();
        letter.payload = record.value.as_deref().filter(|_| whole);
        // The producer's own message.timeout.ms bounds the wait for the acknowledgement.
        let sent = self.producer.send(letter, Duration::from_secs(1)).await;
        sent.map(drop).map_err(|(error, _)| error)
    }

    fn headers(&self, record: &Record, cause: &Cause, whole: bool) -> OwnedHeaders {
        let text: String = cause.text.chars().take(CAUSE_CHARS_MAX).collect();
        let omitted = record.value.as_ref().filter(|_| !whole);
        let [topic, partition, offset, timestamp] =
            Origin::of(record).headers(&self.commands_topic);
        let ours = [
            (CAUSE, Some(text)),
            (CAUSE_CLASS, Some(cause.class.as_str().to_owned())),
            topic,
            partition,
            offset,
            timestamp,
            (OMITTED_BYTES, omitted.map(|value| value.len().to_string())),
        ];
        copied_headers(record, &OURS, &ours)
    }
}
