//! A topic of commands of a test's own, and how far its group has read it.

use consumer::topics::{self, TopicSettings};
use domain::{COMMAND_TYPE, PaymentCommand, headers};
use futures_util::FutureExt;
use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaSettings;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// One partition, so that what is sent before a worker starts is one batch of its.
pub const PARTITIONS: u16 = 1;

/// A topic with its dead letters and its group.
#[derive(Clone)]
pub struct Commands {
    pub kafka: KafkaSettings,
    pub group: String,
}

/// Makes the topics, and removes them also when the test fails.
pub async fn with_commands<F: Future<Output = ()>>(test: impl FnOnce(Commands) -> F) {
    let name = format!("{:016x}", rand::random::<u64>());
    let mut kafka = KafkaSettings::of_brokers(std::env::var("HOLDFAST_KAFKA_BROKERS").unwrap());
    kafka.commands_topic = format!("t.{name}.commands");
    kafka.retry_topic = format!("t.{name}.retry");
    kafka.events_topic = format!("t.{name}.events");
    kafka.dead_letter_topic = format!("t.{name}.commands.dlq");
    let settings = TopicSettings {
        partitions: PARTITIONS,
        ..TopicSettings::default()
    };
    let order_shards = std::env::var("HOLDFAST_ORDER_SHARDS").unwrap();
    let order_shards = u16::try_from(order_shards.split(',').count()).unwrap();
    topics::ensure(&kafka, &settings, order_shards)
        .await
        .unwrap();
    let group = format!("t-{name}");
    let commands = Commands { kafka, group };
    let outcome = AssertUnwindSafe(test(commands.clone()))
        .catch_unwind()
        .await;
    commands.remove().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Commands {
    /// Puts them on the topic as the API does, all at once.
    pub async fn send(&self, commands: &[PaymentCommand]) {
        let producer: FutureProducer = self.kafka.client_config().create().unwrap();
        let send = commands.iter().map(async |command| {
            let (key, value) = (
                command.order_id.to_string(),
                serde_json::to_string(command).unwrap(),
            );
            let header = Header {
                key: headers::TYPE,
                value: Some(COMMAND_TYPE),
            };
            let record = FutureRecord::<str, str>::to(&self.kafka.commands_topic)
                .key(&key)
                .payload(&value)
                .headers(OwnedHeaders::new().insert(header));
            producer.send(record, TIMEOUT).await.unwrap();
        });
        join_all(send).await;
    }

    /// The committed offset; 0 when there is none.
    pub async fn committed(&self) -> i64 {
        let mut config = self.kafka.client_config();
        config.set("group.id", &self.group);
        let topic = self.kafka.commands_topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, 0);
            let committed = consumer.committed_offsets(list, TIMEOUT).unwrap();
            match committed.find_partition(&topic, 0).unwrap().offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            }
        });
        asked.await.unwrap()
    }

    /// Waits until this many are committed.
    pub async fn await_committed(&self, count: usize) {
        let committed = async {
            while self.committed().await < count as i64 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let in_time = tokio::time::timeout(TIMEOUT, committed).await;
        in_time.expect("INV-8 is breached: the offsets are never committed");
    }

    async fn remove(&self) {
        let admin: AdminClient<DefaultClientContext> = self.kafka.client_config().create().unwrap();
        let KafkaSettings {
            commands_topic,
            retry_topic,
            dead_letter_topic,
            events_topic,
            ..
        } = &self.kafka;
        let topics = [
            commands_topic.as_str(),
            retry_topic,
            dead_letter_topic,
            events_topic,
        ];
        // What is left behind hinders nobody.
        let _ = admin
            .delete_groups(&[&self.group], &AdminOptions::new())
            .await;
        let _ = admin.delete_topics(&topics, &AdminOptions::new()).await;
    }
}
