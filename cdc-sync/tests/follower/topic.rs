//! A topic of events of a test's own.

use crate::world::{World, eventually, variable};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const PARTITIONS: i32 = 4;
const TIMEOUT: Duration = Duration::from_secs(10);

/// An event as it stands in the topic.
#[derive(Debug, Clone)]
pub struct Event {
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub value: Value,
}

impl Event {
    pub fn version(&self) -> u64 {
        self.headers["ce_orderversion"].parse().unwrap()
    }
}

fn admin() -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", variable("HOLDFAST_KAFKA_BROKERS"));
    config.create().unwrap()
}

/// Has this world's followers publish to a topic of this world's, which is yet to be made.
pub fn name(world: &mut World) -> String {
    let name = format!("t.{}.events", world.suffix);
    world.settings.kafka.brokers = variable("HOLDFAST_KAFKA_BROKERS");
    world.settings.kafka.events_topic.clone_from(&name);
    world.settings.events.publish = true;
    name
}

/// Makes the topic.
pub async fn make(name: &str) {
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
    let made = admin()
        .create_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    // A partition has no leader at first, and cannot be asked.
    eventually("the topic can be asked", async || {
        let name = name.to_owned();
        let ask = move || {
            let reader = reader();
            let mut partitions = 0..PARTITIONS;
            partitions.try_for_each(|id| reader.fetch_watermarks(&name, id, TIMEOUT).map(drop))
        };
        let asked = tokio::task::spawn_blocking(ask).await.unwrap();
        asked.map_err(|error| error.to_string())
    })
    .await;
}

/// Has Kafka refuse whatever is larger than this.
pub async fn take_at_most(name: &str, bytes: usize) {
    let bytes = bytes.to_string();
    let config = AlterConfig::new(ResourceSpecifier::Topic(name)).set("max.message.bytes", &bytes);
    let altered = admin()
        .alter_configs(&[config], &AdminOptions::new())
        .await
        .unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}

fn reader() -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", variable("HOLDFAST_KAFKA_BROKERS"))
        .set("group.id", "none");
    config.create().unwrap()
}

/// What is left behind hinders nobody.
pub async fn remove(name: &str) {
    let _ = admin().delete_topics(&[name], &AdminOptions::new()).await;
}

/// All events, of each order in the order in which they stand there.
pub async fn read(name: &str) -> BTreeMap<String, Vec<Event>> {
    let name = name.to_owned();
    let read = tokio::task::spawn_blocking(move || read_all(&name)).await;
    let mut by_order = BTreeMap::<String, Vec<Event>>::new();
    for event in read.unwrap() {
        by_order.entry(event.key.clone()).or_default().push(event);
    }
    by_order
}

fn read_all(name: &str) -> Vec<Event> {
    let consumer = reader();
    let (mut places, mut expected) = (TopicPartitionList::new(), 0);
    for partition in 0..PARTITIONS {
        let (low, high) = consumer.fetch_watermarks(name, partition, TIMEOUT).unwrap();
        expected += high - low;
        places
            .add_partition_offset(name, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&places).unwrap();
    let mut events = Vec::new();
    while (events.len() as i64) < expected {
        let message = consumer.poll(TIMEOUT).expect("a record in time").unwrap();
        events.push(event(&message));
    }
    events
}

fn event(message: &BorrowedMessage<'_>) -> Event {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let headers = message.headers().unwrap().iter();
    Event {
        key: text(message.key()),
        headers: headers.map(|h| (h.key.to_owned(), text(h.value))).collect(),
        value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
    }
}

/// The versions of an order in the order in which each was told of first.
pub fn first_told(events: &[Event]) -> Vec<u64> {
    let mut versions = Vec::new();
    for version in events.iter().map(Event::version) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}
