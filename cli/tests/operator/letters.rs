//! `holdfast redrive --dead-letters`.

use crate::consumer::Consumer;
use crate::payments::command;
use crate::world::{Own, eventually, with_own};
use domain::{AccountId, OrderId, PaymentCommand};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{Offset, error::KafkaError};
use std::time::{Duration, Instant};

/// Values as long as those of `wordy` are dead letters.
const NARROW: [(&str, &str); 1] = [("HOLDFAST__WORKER__VALUE_BYTES_MAX", "900")];

fn wordy(mut command: PaymentCommand) -> PaymentCommand {
    command.description = Some("x".repeat(900));
    command
}

impl Own {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.kafka.client_config().create().unwrap()
    }

    /// Every record of a topic, oldest first within each partition.
    async fn records(&self, topic: &str) -> Vec<OwnedMessage> {
        let mut config = self.kafka.client_config();
        config.set("group.id", "looks-only");
        config.set("enable.partition.eof", "true");
        let topic = topic.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let wait = Duration::from_secs(10);
            let metadata = consumer.fetch_metadata(Some(&topic), wait).unwrap();
            let mut open = metadata.topics()[0].partitions().len();
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, open as i32 - 1);
            list.set_all_offsets(Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let (mut found, started) = (Vec::new(), Instant::now());
            while open > 0 {
                assert!(
                    started.elapsed() < Duration::from_secs(60),
                    "{topic} is silent"
                );
                match consumer.poll(Duration::from_millis(200)) {
                    Some(Ok(message)) => found.push(message.detach()),
                    Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                    Some(Err(error)) => panic!("{error}"),
                    None => {}
                }
            }
            found
        });
        read.await.unwrap()
    }

    async fn commands(&self) -> Vec<OwnedMessage> {
        self.records(&self.kafka.commands_topic).await
    }

    /// The dead letters, without the notes among them.
    async fn letters(&self) -> Vec<OwnedMessage> {
        let records = self.records(&self.kafka.dead_letter_topic).await;
        let is_letter = |record: &OwnedMessage| header(record, "original-topic").is_some();
        records.into_iter().filter(is_letter).collect()
    }

    async fn until_letters(&self, count: usize) {
        eventually("the dead letters are there", async || {
            (self.letters().await.len() == count).then_some(())
        })
        .await;
    }
}

fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    let found = record.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}

/// A dry run names them and changes nothing.
async fn names_all_in_a_dry_run(own: &Own) {
    let dry = own.holdfast(&["redrive", "--dead-letters", "--all"]).await;
    assert!(
        dry.out.contains("5 dead letters would be put back"),
        "{dry:?}"
    );
    assert!(
        dry.out.contains("3  too-long") && dry.out.contains("2  bad-json"),
        "{dry:?}"
    );
    assert_eq!(
        (own.commands().await.len(), own.letters().await.len()),
        (5, 5)
    );
}

/// By class: these succeed now, the others stay.
async fn puts_back_those_of_a_class(own: &Own, good: &[OrderId], payee: AccountId) {
    let class = ["redrive", "--dead-letters", "--class", "too-long", "--yes"];
    let said = own.holdfast(&class).await;
    assert!(
        said.out.contains("3 dead letters were put back"),
        "{said:?}"
    );
    own.until_paid(good).await;
    assert_eq!(own.money(payee).await, (30, 0, 3));
    let sent = own.commands().await;
    let back = sent
        .iter()
        .filter(|record| header(record, "redriven-from").is_some());
    let back: Vec<&OwnedMessage> = back.collect();
    assert_eq!((sent.len(), back.len()), (8, 3));
    for record in back {
        assert_eq!(header(record, "mine").as_deref(), Some("kept"));
        assert_eq!(header(record, "original-topic"), None);
        assert_eq!(header(record, "cause-class"), None);
    }
    let said = own.holdfast(&class).await;
    assert!(said.out.contains("No dead letter is like that"), "{said:?}");
    assert_eq!(own.commands().await.len(), 8);
}

/// One by one, by order or by place, also what was put back before: harmless.
async fn puts_back_one_by_one(own: &Own, good: OrderId, unknown: OrderId) {
    let id = good.to_string();
    let said = own.holdfast(&["redrive", "--dead-letters", &id]).await;
    assert!(said.out.contains("was put back before"), "{said:?}");
    let one = ["redrive", "--dead-letters", &id, "--yes"];
    assert_eq!(own.holdfast(&one).await.code, 0);
    let place = ["--partition", "0", "--offset", "0", "--yes"];
    let said = own
        .holdfast(&[&["redrive", "--dead-letters"], &place[..]].concat())
        .await;
    assert!(
        said.out.contains("1 dead letters were put back"),
        "{said:?}"
    );
    let unknown = unknown.to_string();
    let said = own
        .holdfast(&["redrive", "--dead-letters", &unknown, "--yes"])
        .await;
    assert_eq!(said.code, 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_back_by_class_one_by_one_and_all_and_twice_is_harmless() {
    with_own(async |own| {
        let (payer, payee) = (own.account_on(0, 1_000).await, own.account_on(1, 0).await);
        let consumer = Consumer::start(&own, &NARROW).await;
        let good: Vec<_> = (0..3).map(|_| wordy(command(payer, payee, 10))).collect();
        let good = own.send(&good).await;
        let bad: Vec<OrderId> = (0..2).map(|_| command(payer, payee, 10).order_id).collect();
        for id in &bad {
            own.produce(&id.to_string(), "{").await;
        }
        own.until_letters(5).await;
        consumer.stop().await;
        let consumer = Consumer::start(&own, &[]).await;

        names_all_in_a_dry_run(&own).await;
        puts_back_those_of_a_class(&own, &good, payee).await;

        // All: only what was not put back yet; it fails again and is a new dead letter.
        let all = ["redrive", "--dead-letters", "--all", "--yes"];
        let said = own.holdfast(&all).await;
        assert!(
            said.out.contains("2 dead letters were put back"),
            "{said:?}"
        );
        own.until_letters(7).await;

        let unknown = command(payer, payee, 1).order_id;
        puts_back_one_by_one(&own, good[0], unknown).await;
        let last = own.send(&[command(payer, payee, 10)]).await;
        own.until_paid(&last).await;
        assert_eq!(own.money(payee).await, (40, 0, 4));
        assert_eq!(own.rows(&good).await.len(), 3);
        eventually("all is verified", async || {
            (own.holdfast(&["verify"]).await.code == 0).then_some(())
        })
        .await;
        consumer.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_too_long_to_keep_is_fetched_where_it_was_or_refused() {
    with_own(async |own| {
        let topic = ResourceSpecifier::Topic(&own.kafka.dead_letter_topic);
        let change = AlterConfig::new(topic)
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("max.message.bytes", "1200");
        let options = AdminOptions::new();
        own.admin()
            .alter_configs([&change], &options)
            .await
            .unwrap();
        let (payer, payee) = (own.account_on(0, 1_000).await, own.account_on(1, 0).await);
        let consumer = Consumer::start(&own, &NARROW).await;
        let lost = wordy(command(payer, payee, 10));
        let value = serde_json::to_string(&lost).unwrap();
        let (partition, offset) = own.produce(&lost.order_id.to_string(), &value).await;
        // Later, so that it stays when the first is deleted, on whatever partition it is.
        let kept = own.send(&[wordy(command(payer, payee, 10))]).await;
        own.until_letters(2).await;
        assert!(
            own.letters()
                .await
                .iter()
                .all(|letter| letter.payload().is_none())
        );
        consumer.stop().await;

        // One value is gone for good, the other is still there.
        let mut list = TopicPartitionList::new();
        let until = Offset::Offset(offset + 1);
        list.add_partition_offset(&own.kafka.commands_topic, partition, until)
            .unwrap();
        own.admin().delete_records(&list, &options).await.unwrap();
        let consumer = Consumer::start(&own, &[]).await;
        let said = own
            .holdfast(&["redrive", "--dead-letters", "--all", "--yes"])
            .await;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.out.contains("does not hold it any more"), "{said:?}");
        assert!(
            said.out.contains("1 dead letters were put back"),
            "{said:?}"
        );
        own.until_paid(&kept).await;
        assert!(own.rows(&[lost.order_id]).await.is_empty());
        consumer.stop().await;
    })
    .await;
}
