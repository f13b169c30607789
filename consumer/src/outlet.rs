//! The producer of what the worker itself puts on topics: dead letters, and records that wait.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::FutureProducer;
use service::kafka::KafkaSettings;

/// A producer whose queue is small and whose records are acknowledged within `timeout_ms`, or fail.
pub fn open(kafka: &KafkaSettings, timeout_ms: u64) -> Result<FutureProducer, KafkaError> {
    let mut config = kafka.client_config();
    config
        // Not idempotent: a record twice does no harm, and such a producer can die for good.
        .set("acks", "all")
        .set("message.timeout.ms", timeout_ms.to_string())
        .set("message.max.bytes", "2097152")
        .set("queue.buffering.max.kbytes", "8192")
        .set("linger.ms", "5")
        .set_log_level(RDKafkaLogLevel::Warning);
    config.create()
}
