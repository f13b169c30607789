//! The records of the commands' topic and of the dead letters, read and written without the product.

use crate::live::Live;
use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

pub const COMMANDS: &str = "payment.commands";
pub const DEAD_LETTERS: &str = "payment.commands.dlq";

const SOON: Duration = Duration::from_secs(30);

/// A record to be written as it is.
#[derive(Clone, Default)]
pub struct Written {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
    pub partition: Option<i32>,
}

impl Written {
    /// A record that was read.
    pub fn copy_of(message: &OwnedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"")).into_owned();
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.key.to_owned(), text(header.value)))
                .collect(),
            partition: None,
        }
    }

    pub fn with_header(mut self, key: &str, value: &str) -> Self {
        self.headers.retain(|(name, _)| name != key);
        self.headers.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// The text of a header.
pub fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let mut headers = message.headers()?.iter();
    let found = headers.find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}

/// Kafka, spoken to directly.
pub struct Log {
    producer: FutureProducer,
    reader: BaseConsumer,
}

impl Log {
    pub fn of(live: &Live) -> Result<Self> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &live.env().kafka_brokers);
        let producer = client.clone().set("message.timeout.ms", "10000").create()?;
        // It joins no group and commits nothing: the workers' name lets it ask how far they are.
        let reader = client
            .set("group.id", "holdfast-consumers")
            .set("enable.auto.commit", "false")
            .create()?;
        Ok(Self { producer, reader })
    }

    /// The offset that the workers have committed.
    pub fn committed(&self, topic: &str, partition: i32) -> Result<Offset> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let committed = self
            .reader
            .committed_offsets(asked, Duration::from_secs(10))?;
        let found = committed.find_partition(topic, partition);
        Ok(found.context("no such partition")?.offset())
    }

    /// Writes a record; where it is now.
    pub async fn write(&self, topic: &str, written: &Written) -> Result<(i32, i64)> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &written.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
        record.key = written.key.as_deref();
        record.payload = written.value.as_deref();
        record.partition = written.partition;
        let sent = self.producer.send(record, SOON).await;
        let at = sent.map_err(|(error, _)| error).context("produce")?;
        Ok((at.partition, at.offset))
    }

    /// All that stands in a topic now and is wanted. Blocks.
    pub fn read(
        &self,
        topic: &str,
        mut is_wanted: impl FnMut(&OwnedMessage) -> bool,
    ) -> Result<Vec<OwnedMessage>> {
        let metadata = self.reader.fetch_metadata(Some(topic), SOON)?;
        let found = metadata.topics().first().context("no such topic")?;
        let (mut places, mut missing) = (TopicPartitionList::new(), 0);
        for partition in found.partitions() {
            let (low, high) = self.reader.fetch_watermarks(topic, partition.id(), SOON)?;
            missing += high - low;
            places.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
        }
        self.reader.assign(&places)?;
        let (mut wanted, begun) = (Vec::new(), Instant::now());
        while missing > 0 {
            ensure!(
                begun.elapsed() < SOON,
                "{missing} records of {topic} did not come"
            );
            if let Some(message) = self.reader.poll(Duration::from_millis(200)) {
                let message = message?.detach();
                missing -= 1;
                if is_wanted(&message) {
                    wanted.push(message);
                }
            }
        }
        Ok(wanted)
    }

    /// The commands of a merchant. Blocks.
    pub fn commands_of(&self, merchant: &str) -> Result<Vec<OwnedMessage>> {
        let words = format!("\"merchant\":\"{merchant}\"");
        self.read(COMMANDS, |message| {
            String::from_utf8_lossy(message.payload().unwrap_or(b"")).contains(&words)
        })
    }
}
