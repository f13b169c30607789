//! Records that cannot be processed go aside, and hold nobody up.

use crate::support::{Own, command, json, with_own};
use domain::headers;
use rdkafka::Message;
use rdkafka::message::{Headers, OwnedMessage};

fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let found = message
        .headers()?
        .iter()
        .find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}

async fn send_each_kind(own: &Own, good: &str, key: &str) -> Vec<(&'static str, (i32, i64))> {
    let long = good.replace(
        r#""merchant":"shop""#,
        &format!(r#""merchant":"{}""#, "x".repeat(65)),
    );
    let huge = "x".repeat(300 * 1024);
    let version = |text| [(headers::SCHEMA_VERSION, text), ("x-mine", "kept")];
    vec![
        (
            "bad-json",
            own.produce(Some(key), "{", &[("x-mine", "kept")]).await,
        ),
        ("no-key", own.produce(None, good, &[]).await),
        ("wrong-key", own.produce(Some("ord_1"), good, &[]).await),
        ("bad-field", own.produce(Some(key), &long, &[]).await),
        ("too-long", own.produce(Some(key), &huge, &[]).await),
        (
            "bad-schema-version",
            own.produce(Some(key), good, &version("x")).await,
        ),
        (
            "unknown-type",
            own.produce(Some(key), good, &[(headers::TYPE, "refund")])
                .await,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_of_each_kind_becomes_a_dead_letter_and_the_partition_goes_on() {
    with_own(async |own| {
        let (payer, shop) = (own.account(1_000).await, own.account(0).await);
        let unsent = command(payer, shop, 10);
        let key = unsent.order_id.to_string();
        let sent = send_each_kind(&own, &json(&unsent), &key).await;
        let good: Vec<_> = (0..40).map(|_| command(payer, shop, 10)).collect();
        let good = own.send_all(&good).await;
        let worker = own.worker();
        own.ended(&good).await;
        let letters = own.dead_letters(sent.len()).await;
        for (class, (partition, offset)) in &sent {
            let of_class =
                |letter: &&OwnedMessage| header(letter, "cause-class").as_deref() == Some(class);
            let letter = letters
                .iter()
                .find(of_class)
                .unwrap_or_else(|| panic!("{class}"));
            let place = (
                header(letter, "original-partition"),
                header(letter, "original-offset"),
            );
            assert_eq!(
                place,
                (Some(partition.to_string()), Some(offset.to_string()))
            );
            assert_eq!(
                header(letter, "original-topic"),
                Some(own.settings.kafka.commands_topic.clone())
            );
            assert!(
                header(letter, "original-timestamp").is_some() && header(letter, "cause").is_some()
            );
            let kept = matches!(*class, "bad-json" | "bad-schema-version");
            assert_eq!(header(letter, "x-mine").is_some(), kept);
            assert_eq!(letter.key().is_none(), *class == "no-key");
        }
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.states(&[unsent.order_id]).await, [None]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_schema_holds_its_offset_and_nothing_else() {
    with_own(async |own| {
        let (payer, shop) = (own.account(1_000).await, own.account(0).await);
        let newer = command(payer, shop, 10);
        let key = newer.order_id.to_string();
        let version = [(headers::SCHEMA_VERSION, "2")];
        let (partition, offset) = own.produce(Some(&key), &json(&newer), &version).await;
        let later: Vec<_> = (0..60).map(|_| command(payer, shop, 10)).collect();
        let later = own.send_all(&later).await;
        let worker = own.worker();
        own.ended(&later).await;
        worker.stop().await;
        let (committed, ends) = (own.committed().await, own.ends().await);
        for (number, end) in (0..).zip(ends) {
            let expected = if number == partition { offset } else { end };
            assert_eq!(committed[number as usize], expected, "partition {number}");
        }
        assert_eq!(own.states(&[newer.order_id]).await, [None]);
    })
    .await;
}
