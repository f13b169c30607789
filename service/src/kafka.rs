//! How to reach Kafka, and the names of our topics.

use crate::settings::Secret;
use crate::steady_waits;
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Section `[kafka]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    #[serde(default = "plaintext")]
    pub security_protocol: String,
    /// The authorities to trust; none means the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Such as `SCRAM-SHA-512`.
    #[serde(default)]
    pub sasl_mechanism: Option<String>,
    /// Who logs in.
    #[serde(default)]
    pub sasl_username: Option<String>,
    /// With what.
    #[serde(default)]
    pub sasl_password: Secret,
    /// Payments to make.
    #[serde(default = "commands_topic")]
    pub commands_topic: String,
    /// Records that cannot be processed, with their cause.
    #[serde(default = "dead_letter_topic")]
    pub dead_letter_topic: String,
    /// Records whose order shard cannot be reached, waiting to be tried again.
    #[serde(default = "retry_topic")]
    pub retry_topic: String,
    /// What has become of orders: one event for each version of each.
    #[serde(default = "events_topic")]
    pub events_topic: String,
}

fn plaintext() -> String {
    "plaintext".into()
}

fn commands_topic() -> String {
    "payment.commands".into()
}

fn dead_letter_topic() -> String {
    "payment.commands.dlq".into()
}

fn retry_topic() -> String {
    "payment.retry".into()
}

fn events_topic() -> String {
    "order.events".into()
}

impl KafkaSettings {
    /// Settings for these brokers, all else as by default.
    pub fn of_brokers(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            security_protocol: plaintext(),
            ca_file: None,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: Secret::default(),
            commands_topic: commands_topic(),
            dead_letter_topic: dead_letter_topic(),
            retry_topic: retry_topic(),
            events_topic: events_topic(),
        }
    }

    /// What every client needs; the caller adds what is its own.
    pub fn client_config(&self) -> ClientConfig {
        steady_waits::link();
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("security.protocol", &self.security_protocol)
            // A broker that comes back is found again within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true");
        if let Some(path) = &self.ca_file {
            client.set("ssl.ca.location", path.to_string_lossy());
        }
        if let Some(mechanism) = &self.sasl_mechanism {
            client.set("sasl.mechanism", mechanism);
        }
        if let Some(username) = &self.sasl_username {
            client.set("sasl.username", username);
        }
        if self.sasl_password.is_set() {
            client.set("sasl.password", self.sasl_password.expose());
        }
        client
    }
}
