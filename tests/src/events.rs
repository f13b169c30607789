//! What `order.events` tells of a merchant's orders, held against the stores.

use crate::facts::{self, OrderFacts};
use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use stack::StackEnv;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const TOPIC: &str = "order.events";
const TOLD_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The versions of each order, as often as they were told of and in that order.
type Told = HashMap<String, Vec<u64>>;

/// Listens to what is told of a merchant's orders from the beginning of a load on.
#[derive(Debug, Clone)]
pub struct Listener {
    merchant: String,
    /// Where each partition ended when it began.
    begin: Vec<(i32, i64)>,
}

impl Listener {
    /// Begins before the merchant has any order.
    pub async fn begin(env: &StackEnv, merchant: &str) -> Result<Self> {
        let brokers = env.kafka_brokers.clone();
        let ends = move || {
            let reader = reader(&brokers)?;
            let ends = watermarks(&reader)?.into_iter();
            anyhow::Ok(ends.map(|(id, _, high)| (id, high)).collect())
        };
        Ok(Self {
            merchant: merchant.to_owned(),
            begin: tokio::task::spawn_blocking(ends).await??,
        })
    }

    /// What is missing, or told of in the wrong order, once the follower had time to tell.
    pub async fn breaches(&self, env: &StackEnv) -> Result<Vec<String>> {
        let begun = Instant::now();
        loop {
            let facts = facts::of_merchant(env, &self.merchant).await?;
            let (brokers, own) = (env.kafka_brokers.clone(), self.clone());
            let told = tokio::task::spawn_blocking(move || own.read(&brokers)).await??;
            let breaches = judge(&facts, &told);
            if breaches.is_empty() || begun.elapsed() > TOLD_WITHIN {
                return Ok(breaches);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// All events of the merchant that stand in the topic now. Blocks.
    fn read(&self, brokers: &str) -> Result<Told> {
        let reader = reader(brokers)?;
        let (mut places, mut missing) = (TopicPartitionList::new(), 0);
        for (id, low, high) in watermarks(&reader)? {
            let begin = self.begin.iter().find(|(known, _)| *known == id);
            let begin = begin.map_or(low, |(_, begin)| low.max(*begin));
            missing += high - begin;
            places.add_partition_offset(TOPIC, id, Offset::Offset(begin))?;
        }
        reader.assign(&places)?;
        let (mut told, begun) = (Told::new(), Instant::now());
        while missing > 0 {
            let in_time = begun.elapsed() < ANSWER_WITHIN;
            ensure!(in_time, "{missing} events did not come");
            let Some(message) = reader.poll(Duration::from_millis(200)) else {
                continue;
            };
            missing -= 1;
            let message = message?.detach();
            if header(&message, "ce_merchant")? == self.merchant {
                let version = header(&message, "ce_orderversion")?.parse()?;
                let order = header(&message, "ce_subject")?;
                told.entry(order).or_default().push(version);
            }
        }
        Ok(told)
    }
}

fn reader(brokers: &str) -> Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "holdfast-tests-events")
        .set("enable.auto.commit", "false")
        .create()?)
}

/// The first and the next offset of each partition. Blocks.
fn watermarks(reader: &BaseConsumer) -> Result<Vec<(i32, i64, i64)>> {
    let metadata = reader.fetch_metadata(Some(TOPIC), ANSWER_WITHIN)?;
    let topic = metadata.topics().first().context("no such topic")?;
    let partitions = topic.partitions().iter();
    let watermarks = partitions.map(|partition| {
        let (low, high) = reader.fetch_watermarks(TOPIC, partition.id(), ANSWER_WITHIN)?;
        Ok((partition.id(), low, high))
    });
    watermarks.collect()
}

fn judge(facts: &HashMap<String, OrderFacts>, told: &Told) -> Vec<String> {
    let rows = facts.iter().filter(|(_, order)| order.rows > 0);
    let mut breaches: Vec<String> = rows
        .filter_map(|(id, order)| {
            let told = told.get(id).map(Vec::as_slice).unwrap_or_default();
            let expected: Vec<u64> = (1..=order.version).collect();
            let versions = order.version;
            (first_told(told) != expected)
                .then(|| format!("{id} has {versions} versions, and events told of {told:?}"))
        })
        .collect();
    let unknown = told.keys().filter(|id| !facts.contains_key(*id));
    breaches.extend(unknown.map(|id| format!("{id} has no row, and an event")));
    breaches
}

fn first_told(told: &[u64]) -> Vec<u64> {
    let mut versions = Vec::new();
    for version in told {
        if !versions.contains(version) {
            versions.push(*version);
        }
    }
    versions
}

fn header(message: &OwnedMessage, name: &str) -> Result<String> {
    let headers = message.headers().context("an event without headers")?;
    let found = headers.iter().find(|header| header.key == name);
    let value = found
        .and_then(|header| header.value)
        .with_context(|| name.to_owned())?;
    Ok(String::from_utf8(value.to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches_of(told: &[u64]) -> usize {
        let order = OrderFacts {
            rows: 1,
            version: 3,
            ..OrderFacts::default()
        };
        let told = Told::from([("ord_1".to_owned(), told.to_vec())]);
        judge(&HashMap::from([("ord_1".to_owned(), order)]), &told).len()
    }

    #[test]
    fn every_version_is_told_of_in_order_however_often() {
        assert_eq!(breaches_of(&[1, 2, 3]), 0);
        assert_eq!(breaches_of(&[1, 2, 1, 2, 3, 2]), 0);
        for bad in [&[1, 3][..], &[1, 2], &[2, 1, 3], &[1, 2, 3, 4], &[]] {
            assert_eq!(breaches_of(bad), 1, "{bad:?}");
        }
    }

    #[test]
    fn an_event_of_an_order_that_is_not_there_is_a_breach() {
        let told = Told::from([("ord_1".to_owned(), vec![1])]);
        assert_eq!(judge(&HashMap::new(), &told).len(), 1);
    }
}
