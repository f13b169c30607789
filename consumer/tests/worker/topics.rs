//! What a test puts on its topics, and what it asks about them.

use crate::support::{Own, PATIENCE, eventually, json};
use domain::{OrderId, PaymentCommand, headers};
use futures_util::future::join_all;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::FutureRecord;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// A topic, as a group sees it.
#[derive(Clone)]
struct Log {
    topic: String,
    partitions: i32,
    group: String,
}

impl Own {
    /// Puts a command on the topic as the API does; answers its order.
    pub async fn send(&self, command: &PaymentCommand) -> OrderId {
        let key = command.order_id.to_string();
        self.produce(Some(&key), &json(command), &[]).await;
        command.order_id
    }

    pub async fn send_all(&self, commands: &[PaymentCommand]) -> Vec<OrderId> {
        join_all(commands.iter().map(|command| self.send(command))).await
    }

    /// Puts anything on the topic; answers partition and offset.
    pub async fn produce(
        &self,
        key: Option<&str>,
        value: &str,
        more: &[(&str, &str)],
    ) -> (i32, i64) {
        let usual = [(headers::TYPE, domain::COMMAND_TYPE)];
        let usual = usual
            .iter()
            .filter(|(name, _)| !more.iter().any(|(key, _)| key == name));
        let mut list = OwnedHeaders::new();
        for (key, value) in usual.chain(more) {
            let value = Some(*value);
            list = list.insert(Header { key, value });
        }
        let mut record = FutureRecord::<str, str>::to(&self.settings.kafka.commands_topic);
        (record.key, record.payload) = (key, Some(value));
        let sent = self.producer.send(record.headers(list), PATIENCE).await;
        let delivery = sent.unwrap();
        (delivery.partition, delivery.offset)
    }

    /// Waits until every record is committed, on the commands' topic and on the retry topic.
    pub async fn all_committed(&self) {
        eventually("every offset is committed", async || {
            for log in [self.commands(), self.retry()] {
                if self.committed_on(log.clone()).await != self.ends_on(log).await {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// The committed offset of each partition of the commands' topic, 0 where there is none.
    pub async fn committed(&self) -> Vec<i64> {
        self.committed_on(self.commands()).await
    }

    /// The end of each partition of the commands' topic.
    pub async fn ends(&self) -> Vec<i64> {
        self.ends_on(self.commands()).await
    }

    /// How many records were ever put on the retry topic.
    pub async fn put_on_retry(&self) -> i64 {
        self.ends_on(self.retry()).await.iter().sum()
    }

    /// How many records on the retry topic are not committed.
    pub async fn left_on_retry(&self) -> i64 {
        let committed = self.committed_on(self.retry()).await;
        self.put_on_retry().await - committed.iter().sum::<i64>()
    }

    async fn committed_on(&self, log: Log) -> Vec<i64> {
        let Log {
            topic,
            partitions,
            group,
        } = log;
        self.ask(group, move |consumer| {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, partitions - 1);
            let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
            let offset = |partition| match committed.find_partition(&topic, partition) {
                Some(found) => match found.offset() {
                    Offset::Offset(offset) => offset,
                    _ => 0,
                },
                None => 0,
            };
            (0..partitions).map(offset).collect()
        })
        .await
    }

    async fn ends_on(&self, log: Log) -> Vec<i64> {
        let Log {
            topic,
            partitions,
            group,
        } = log;
        self.ask(group, move |consumer| {
            // A new client may not know every partition at once.
            let end = |partition| loop {
                match consumer.fetch_watermarks(&topic, partition, PATIENCE) {
                    Ok((_, end)) => return end,
                    Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition)) => {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            (0..partitions).map(end).collect()
        })
        .await
    }

    /// Waits for this many dead letters.
    pub async fn dead_letters(&self, count: usize) -> Vec<OwnedMessage> {
        let topic = self.settings.kafka.dead_letter_topic.clone();
        self.ask(self.commands().group, move |consumer| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Beginning)
                .unwrap();
            consumer.assign(&list).unwrap();
            let (mut found, start) = (Vec::new(), Instant::now());
            while found.len() < count && start.elapsed() < PATIENCE {
                if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                    found.push(message.unwrap().detach());
                }
            }
            found
        })
        .await
    }

    fn commands(&self) -> Log {
        Log {
            topic: self.settings.kafka.commands_topic.clone(),
            partitions: i32::from(self.settings.topics.partitions),
            group: self.settings.worker.group_id.clone(),
        }
    }

    fn retry(&self) -> Log {
        Log {
            topic: self.settings.kafka.retry_topic.clone(),
            partitions: self.retry_parts().count(),
            group: self.settings.worker.retry_group_id(),
        }
    }

    /// Asks the broker with a client of the group that does not join it.
    async fn ask<T: Send + 'static>(
        &self,
        group: String,
        question: impl FnOnce(&BaseConsumer) -> T + Send + 'static,
    ) -> T {
        let mut config = self.settings.kafka.client_config();
        config.set("group.id", group);
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            question(&consumer)
        });
        asked.await.unwrap()
    }
}
