//! 27 to 30: what Kafka itself can do to an order.

use crate::live::{Live, live, until};
use crate::records::{COMMANDS, DEAD_LETTERS, Log, Written, header};
use anyhow::{Context, Result, ensure};
use holdfast_tests::{Fault, Merchant, Told};
use rand::Rng;
use rand::seq::SliceRandom;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use stack::ServerName;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(30);

/// 27. Every record twice and more, at once and much later, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_written_many_times_is_one_order() -> Result<()> {
    live(async |live| {
        let load = live.load_of(240, 20).await?;
        let merchant = load.recorder.merchant.name.clone();
        let (log, mut rng) = (Log::of(live)?, live.rng());
        let mut written = 0;
        for _ in 0..4 {
            sleep(Duration::from_millis(400)).await;
            let mut again: Vec<_> = log.commands_of(&merchant)?;
            again.shuffle(&mut rng);
            for message in again.iter().take(150) {
                let copy = Written::copy_of(message);
                for _ in 0..rng.random_range(1..3) {
                    log.write(COMMANDS, &copy).await?;
                    written += 1;
                }
            }
        }
        println!("{written} duplicates");
        ensure!(written > 100, "only {written} duplicates");
        let before = live.finish(load).await?;
        ensure!(before.paid + before.cancelled <= 240, "{before:?}");
        Ok(())
    })
    .await
}

/// 28. Poison of each kind among good ones: a dead letter with its cause each, and the good ones flow.
/// What only a newer consumer can read is no poison: it holds its offset, and nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn poison_of_each_kind_holds_nobody_up() -> Result<()> {
    live(async |live| {
        let shop = Merchant::open(&live.pipeline).await?;
        let customer = shop.customer(5_000).await?;
        let good = shop.order(&customer, 1_000);
        shop.client.post_and_wait("good", &good, 20).await?;
        let log = Log::of(live)?;
        let read = log.commands_of(&shop.name)?;
        let good = Written::copy_of(read.first().context("the good one")?);
        let load = live.load_of(240, 20).await?;
        let marker = format!("{}-{}", shop.name, live.seed);
        for (class, poison) in poison(&good)? {
            let poison = poison.with_header("x-test", &format!("{marker}-{class}"));
            log.write(COMMANDS, &poison).await?;
        }
        let newer = good.clone().with_header("schema-version", "99");
        let held = log.write(COMMANDS, &newer).await?;
        let accepted = live.rows(&load.recorder.merchant).await?;
        until(SOON, "the good ones flow", async || {
            Ok(live.rows(&load.recorder.merchant).await?.1 > accepted.1 + 20)
        })
        .await?;
        let mut load = load;
        load.stop().await?;
        forget(live, &log, &good, held).await?;
        live.finish(load).await?;
        for (class, _) in poison(&good)? {
            let name = format!("{marker}-{class}");
            let of_it = |m: &_| header(m, "x-test").as_deref() == Some(&name);
            let letters = log.read(DEAD_LETTERS, of_it)?;
            ensure!(letters.len() == 1, "{} letters of {class}", letters.len());
            ensure!(header(&letters[0], "cause-class").as_deref() == Some(class));
            ensure!(header(&letters[0], "cause").is_some_and(|cause| !cause.is_empty()));
            ensure!(letters[0].key().is_none() == (class == "no-key"));
        }
        ensure!(shop.balance(&customer).await? == (4_000, 0));
        Ok(())
    })
    .await
}

/// Every kind, as its dead letter names it.
fn poison(good: &Written) -> Result<Vec<(&'static str, Written)>> {
    let value = good.value.clone().context("a value")?;
    let with_field = |field: &str, content: Value| -> Result<Written> {
        let mut body: Value = serde_json::from_slice(&value)?;
        body[field] = content;
        let value = Some(serde_json::to_vec(&body)?);
        Ok(Written {
            value,
            ..good.clone()
        })
    };
    let with = |key: Option<&[u8]>, value: Option<&[u8]>| Written {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        ..good.clone()
    };
    let key = good.key.as_deref();
    Ok(vec![
        ("bad-json", with(key, Some(&value[..value.len() / 2]))),
        (
            "bad-schema-version",
            good.clone().with_header("schema-version", "one"),
        ),
        ("bad-field", with_field("merchant", "x".repeat(65).into())?),
        (
            "too-long",
            with_field("description", "x".repeat(300_000).into())?,
        ),
        ("no-key", with(None, Some(&value))),
        ("wrong-key", with(Some(b"ord_1"), Some(&value))),
        ("no-value", with(key, None)),
        ("unknown-type", good.clone().with_header("type", "refund")),
    ])
}

/// Once all before it have ended, the record that waits for a newer consumer is taken out of the log,
/// and the worker that holds it starts anew. A good one behind it, once more, lets the offset move.
async fn forget(live: &Live, log: &Log, good: &Written, held: (i32, i64)) -> Result<()> {
    until(SOON, "only the newer one holds the offset", async || {
        Ok(log.committed(COMMANDS, held.0)? == Offset::Offset(held.1))
    })
    .await?;
    let worker = live.handle(ServerName::Consumer(1));
    worker.stop().await?;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &live.env().kafka_brokers)
        .create()?;
    let (partition, offset) = held;
    let mut until_here = TopicPartitionList::new();
    until_here.add_partition_offset(COMMANDS, partition, Offset::Offset(offset + 1))?;
    admin
        .delete_records(&until_here, &AdminOptions::new())
        .await?;
    let behind = Written {
        partition: Some(partition),
        ..good.clone()
    };
    log.write(COMMANDS, &behind).await?;
    Ok(worker.start().await?)
}

/// 29. Without a broker an order is refused, with 503 `not_enqueued` and when to come again, and
/// nothing comes of it.
#[tokio::test]
async fn without_a_broker_an_order_is_refused_whole() -> Result<()> {
    live(async |live| {
        let load = live.load_of(160, 40).await?;
        let shop = Merchant::open(&live.pipeline).await?;
        let customer = shop.customer(5_000).await?;
        let broker = live.handle(ServerName::Kafka);
        broker.kill().await?;
        let refused = refused_with(&shop, &customer, "not_enqueued", 3).await?;
        broker.start().await?;
        until(SOON, "orders are taken again", async || {
            let one = shop.order(&customer, 1);
            let answer = shop.client.post("/v1/orders", "after", &one).await?;
            Ok(answer.status == 202)
        })
        .await?;
        live.finish(load).await?;
        for key in refused {
            ensure!(
                !live.has_row(&shop, &key).await?,
                "{key} was refused and is there"
            );
        }
        Ok(())
    })
    .await
}

/// Submits, each time under another key, until this code was answered so many times. Each refusal
/// says when to come again. The keys of the refused.
async fn refused_with(
    shop: &Merchant,
    customer: &str,
    code: &str,
    times: usize,
) -> Result<Vec<String>> {
    let (mut refused, begun) = (Vec::new(), Instant::now());
    for place in 0.. {
        ensure!(
            begun.elapsed() < SOON,
            "{code} was said {} times",
            refused.len()
        );
        let body = shop.order(customer, 1_000);
        let limit = Duration::from_secs(15);
        let key = format!("refused-{place}");
        let answer = shop.client.post_within(limit, &key, None, &body).await?;
        ensure!(answer.status == 503, "{answer:?}");
        let after: u64 = answer
            .header("retry-after")
            .parse()
            .context("retry-after")?;
        ensure!((1..=60).contains(&after), "{answer:?}");
        ensure!(
            matches!(answer.text("code"), "not_enqueued" | "outcome_unknown"),
            "{answer:?}"
        );
        if answer.text("code") == code {
            refused.push(key);
            if refused.len() == times {
                break;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(refused)
}

/// 29. A broker that takes everything and answers nothing: nobody knows, which is what is said, and
/// the same request resolves it.
#[tokio::test]
async fn a_silent_broker_leaves_an_order_unknown_until_it_is_repeated() -> Result<()> {
    live(async |live| {
        let network = live.behind_proxies(&[ServerName::OrderApi]).await?;
        let load = live.load_of(160, 40).await?;
        let recorder = load.recorder.clone();
        let shop = Merchant::open(&live.pipeline).await?;
        let customer = shop.customer(5_000).await?;
        sleep(Duration::from_millis(500)).await;
        network.set(ServerName::Kafka, Fault::BlackHole);
        refused_with(&shop, &customer, "outcome_unknown", 1).await?;
        let begun = Instant::now();
        network.set(ServerName::Kafka, Fault::Pass);
        let body = shop.order(&customer, 1_000);
        until(SOON, "the repeated order is taken", async || {
            let answer = shop.client.post("/v1/orders", "refused-0", &body).await?;
            Ok(answer.status == 202 || answer.status == 200)
        })
        .await?;
        println!("taken again after {:?}", begun.elapsed());
        ensure!(recorder.tally().refused_503 > 0, "{:?}", recorder.tally());
        live.finish(load).await?;
        let (money, held) = shop.balance(&shop.account).await?;
        ensure!(held == 0 && money >= 1_000 && money % 1_000 == 0, "{money}");
        Ok(())
    })
    .await
}

/// 30. The broker is killed ten times in mid-load, each time as soon as orders were taken again.
#[tokio::test]
async fn ten_kills_of_the_broker_lose_nothing() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        let (recorder, mut rng) = (load.recorder.clone(), live.rng());
        let broker = live.handle(ServerName::Kafka);
        for kill in 0..10 {
            let accepted = recorder.tally().accepted;
            until(SOON, "orders are taken", async || {
                Ok(recorder.tally().accepted > accepted)
            })
            .await?;
            sleep(Duration::from_millis(rng.random_range(0..300))).await;
            broker.kill().await?;
            broker.start().await?;
            println!("kill {kill}: {:?}", recorder.tally());
        }
        live.finish(load).await?;
        let asked = recorder.submit("once more", &wish(&recorder)).await;
        ensure!(matches!(asked, Told::Accepted { .. }), "{asked:?}");
        live.pipeline.assert_invariants().await
    })
    .await
}

fn wish(recorder: &holdfast_tests::Recorder) -> holdfast_tests::Asked {
    holdfast_tests::Asked {
        payer: recorder.merchant.account.clone(),
        payee: "acct_0123456789abcdef0123456789abcdef".to_owned(),
        amount: 1,
    }
}
