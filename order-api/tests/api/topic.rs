//! A topic of a test's own.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::time::Duration;

const PARTITIONS: i32 = 4;

/// A record of the topic.
#[derive(Debug)]
pub struct Record {
    pub key: String,
    pub value: Value,
    pub headers: Vec<(String, String)>,
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).create().unwrap()
}

pub async fn make(brokers: &str, name: &str) {
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1");
    let made = admin(brokers)
        .create_topics(&[topic], &AdminOptions::new())
        .await;
    made.unwrap().pop().unwrap().unwrap();
}

pub async fn remove(brokers: &str, name: &str) {
    let deleted = admin(brokers)
        .delete_topics(&[name], &AdminOptions::new())
        .await;
    deleted.unwrap().pop().unwrap().unwrap();
}

/// Every record.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Record> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", "none");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut all = TopicPartitionList::new();
    let mut expected = 0;
    let timeout = Duration::from_secs(10);
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
        expected += consumer
            .fetch_watermarks(topic, partition, timeout)
            .unwrap()
            .1;
    }
    consumer.assign(&all).unwrap();
    let mut records = Vec::new();
    while (records.len() as i64) < expected {
        let message = consumer
            .poll(timeout)
            .expect("a record within ten seconds")
            .unwrap();
        records.push(record(&message));
    }
    records
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let headers = message.headers().unwrap().iter();
    Record {
        key: text(message.key()),
        value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
        headers: headers.map(|h| (h.key.to_owned(), text(h.value))).collect(),
    }
}
