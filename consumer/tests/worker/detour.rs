//! Records whose order shard is down for long wait on the retry topic: they hold nothing up, come back
//! in order, and end once.

use crate::process::{MEMORY_KIB_MAX, Process};
use crate::running::Running;
use crate::support::{Own, command, eventually, fresh, with_own};
use crate::trouble::{gated, shard_of};
use domain::{AccountId, BodyDigest, OrderId, OrderState, PaymentCommand};
use rdkafka::Message;
use rdkafka::message::{Headers, OwnedMessage};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::StoresSettings;

/// How much longer than usual orders of a shard that is up may take beside one that is down, besides
/// thrice as long: the machine may be busier meanwhile.
const MOMENTS: Duration = Duration::from_secs(5);

/// A worker that parks little, and for a short time.
fn impatient(own: &Own, stores: &StoresSettings) -> Running {
    own.worker_with(stores, |settings| {
        settings.parked_kib_max = 64;
        settings.retry_topic_after_ms = 500;
        settings.room_kib_max = 256;
        settings.retry_room_kib_max = 160;
        settings.retry_delay_max_ms = 1_000;
    })
}

fn orders(payer: AccountId, shop: AccountId, count: usize) -> Vec<PaymentCommand> {
    (0..count).map(|_| command(payer, shop, 1)).collect()
}

fn of_shard(own: &Own, commands: &[PaymentCommand], shard: u16) -> Vec<OrderId> {
    let there = commands
        .iter()
        .filter(|command| shard_of(own, command) == shard);
    there.map(|command| command.order_id).collect()
}

/// Sends all; answers how long those of the first shard took.
async fn time_to_end(own: &Own, commands: &[PaymentCommand]) -> Duration {
    let start = Instant::now();
    own.send_all(commands).await;
    own.ended(&of_shard(own, commands, 0)).await;
    start.elapsed()
}

/// Orders that the closed gate keeps from their shard.
fn behind_the_gate(
    own: &Own,
    payer: AccountId,
    shop: AccountId,
    count: usize,
) -> Vec<PaymentCommand> {
    let all = std::iter::repeat_with(|| command(payer, shop, 1));
    all.filter(|command| shard_of(own, command) == 1)
        .take(count)
        .collect()
}

async fn all_on_retry(own: &Own, count: usize) {
    eventually("the records are on the retry topic", async || {
        (own.put_on_retry().await >= count as i64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_memory_holds_waits_on_the_retry_topic_while_the_others_flow() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let worker = impatient(&own, &settings);
        gate.open().await;
        let mut all = orders(payer, shop, 400);
        let usual = time_to_end(&own, &all).await;
        gate.shut();
        let more = orders(payer, shop, 2_000);
        time_to_end(&own, &more).await;
        eventually("the commands' offsets pass what waits", async || {
            (own.committed().await == own.ends().await).then_some(())
        })
        .await;
        let waiting = of_shard(&own, &more, 1);
        assert!(own.put_on_retry().await >= waiting.len() as i64);
        assert!(own.states(&waiting).await.iter().all(Option::is_none));
        let later = orders(payer, shop, 400);
        let took = time_to_end(&own, &later).await;
        assert!(took < 3 * usual + MOMENTS, "{took:?}, usually {usual:?}");
        all.extend(more.into_iter().chain(later));
        gate.open().await;
        let ids: Vec<_> = all.iter().map(|command| command.order_id).collect();
        let ended = own.ended(&ids).await;
        assert!(ended.iter().all(|state| *state == OrderState::Paid));
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (all.len() as i64, 0));
    })
    .await;
}

/// Each order has a second body, sent after the first was put aside.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_bodies_the_first_wins_also_over_the_retry_topic() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let worker = impatient(&own, &settings);
        let firsts = behind_the_gate(&own, payer, shop, 60);
        let others = firsts.iter().map(|first| PaymentCommand {
            amount: 500,
            body_digest: BodyDigest::of_parts([&fresh()[..]]),
            ..first.clone()
        });
        let others: Vec<_> = others.collect();
        own.send_all(&firsts[..20]).await;
        own.send_all(&others[..20]).await;
        all_on_retry(&own, 40).await;
        own.send_all(&firsts[20..40]).await;
        all_on_retry(&own, 60).await;
        own.send_all(&others[20..40]).await;
        own.send_all(&firsts[40..]).await;
        gate.open().await;
        own.send_all(&others[40..]).await;
        let ids: Vec<_> = firsts.iter().map(|first| first.order_id).collect();
        own.ended(&ids).await;
        let letters = own.dead_letters(60).await;
        let mut refused: Vec<_> = letters.iter().map(|l| l.key().unwrap().to_vec()).collect();
        refused.sort();
        refused.dedup();
        assert_eq!(refused.len(), 60);
        for letter in &letters {
            assert_eq!(header(letter, "cause-class"), "refused");
            assert_eq!(
                header(letter, "original-topic"),
                own.settings.kafka.commands_topic
            );
            assert!(header(letter, "original-partition").parse::<u16>().unwrap() < 12);
        }
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (60, 0));
    })
    .await;
}

fn header(letter: &OwnedMessage, name: &str) -> String {
    let found = letter
        .headers()
        .unwrap()
        .iter()
        .find(|header| header.key == name);
    String::from_utf8_lossy(found.unwrap().value.unwrap()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_on_the_way_there_and_on_the_way_back_loses_nothing() {
    with_own(async |mut own| {
        let (settings, mut gate) = gated(&own).await;
        own.stores_settings = settings;
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let soon = [
            ("HOLDFAST__WORKER__RETRY_TOPIC_AFTER_MS", "300"),
            ("HOLDFAST__WORKER__RETRY_DELAY_MAX_MS", "1000"),
        ];
        let dying = [
            soon[0],
            soon[1],
            ("HOLDFAST_FAULTS", "after-retry-put=abort"),
        ];
        let mut ids = own.send_all(&orders(payer, shop, 1_500)).await;
        // They stand there, and nobody was told.
        Process::start(&own, &dying).await.died().await;
        let doomed = Process::start(&own, &soon).await;
        doomed.ready().await;
        ids.extend(own.send_all(&orders(payer, shop, 1_500)).await);
        all_on_retry(&own, 1_000).await;
        doomed.signal("-KILL").await;
        gate.open().await;
        let doomed = Process::start(&own, &soon).await;
        eventually("something came back", async || {
            (own.left_on_retry().await < own.put_on_retry().await).then_some(())
        })
        .await;
        doomed.signal("-KILL").await;
        let heir = Process::start(&own, &soon).await;
        let ended = own.ended(&ids).await;
        assert!(ended.iter().all(|state| *state == OrderState::Paid));
        own.all_committed().await;
        let peak = heir.memory_peak_kib();
        assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
        assert!(heir.signal("-TERM").await.success());
        assert_eq!(own.money(shop).await, (ids.len() as i64, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_moves_with_its_partition_to_another_worker() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let first = impatient(&own, &settings);
        let waiting = behind_the_gate(&own, payer, shop, 1_000);
        let mut ids = own.send_all(&waiting).await;
        all_on_retry(&own, 900).await;
        let second = impatient(&own, &settings);
        eventually("the second worker is in the group", async || {
            second.readiness.check().ok()
        })
        .await;
        ids.extend(own.send_all(&orders(payer, shop, 400)).await);
        first.kill();
        gate.open().await;
        let third = impatient(&own, &settings);
        ids.extend(own.send_all(&orders(payer, shop, 400)).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
        second.stop().await;
        let ended = own.ended(&ids).await;
        assert!(ended.iter().all(|state| *state == OrderState::Paid));
        own.all_committed().await;
        third.stop().await;
        assert_eq!(own.money(shop).await, (ids.len() as i64, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_back_too_late_is_cancelled() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let worker = impatient(&own, &settings);
        let mut late = behind_the_gate(&own, payer, shop, 40);
        for command in &mut late {
            command.not_after = chrono::Utc::now() + chrono::TimeDelta::seconds(1);
        }
        let ids = own.send_all(&late).await;
        all_on_retry(&own, 40).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.open().await;
        let ended = own.ended(&ids).await;
        assert!(ended.iter().all(|state| *state == OrderState::Cancelled));
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(
            (own.money(shop).await, own.money(payer).await),
            ((0, 0), (100_000, 0))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_steady_flow_the_way_is_straight_again_once_the_shard_is_back() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let worker = impatient(&own, &settings);
        let flowing = Arc::new(AtomicBool::new(true));
        let load = {
            let (own, flowing) = (own.clone(), flowing.clone());
            tokio::spawn(async move {
                let mut ids = Vec::new();
                while flowing.load(Ordering::Relaxed) {
                    ids.extend(own.send_all(&orders(payer, shop, 25)).await);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                ids
            })
        };
        all_on_retry(&own, 300).await;
        gate.open().await;
        eventually("nothing takes the detour any more", async || {
            let before = own.put_on_retry().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            (own.put_on_retry().await == before).then_some(())
        })
        .await;
        flowing.store(false, Ordering::Relaxed);
        let ids = load.await.unwrap();
        own.ended(&ids).await;
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (ids.len() as i64, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_went_away_paused_are_read_when_they_come_back() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let first = impatient(&own, &settings);
        eventually("the first is ready", async || first.readiness.check().ok()).await;
        let filling = behind_the_gate(&own, payer, shop, 1_000);
        let filling = own.send_all(&filling).await;
        all_on_retry(&own, 1_000).await;
        // Its room for what waits there is full by then, and its parts are paused.
        tokio::time::sleep(Duration::from_secs(2)).await;

        let second = impatient(&own, &settings);
        eventually("the second is ready", async || {
            second.readiness.check().ok()
        })
        .await;
        gate.open().await;
        own.ended(&filling).await;
        gate.shut();
        second.stop().await;
        let put = own.put_on_retry().await as usize;
        let few = own.send_all(&behind_the_gate(&own, payer, shop, 36)).await;
        all_on_retry(&own, put + few.len()).await;
        gate.open().await;
        own.ended(&few).await;
        own.all_committed().await;
        first.stop().await;
        assert_eq!(own.money(shop).await, (1_036, 0));
    })
    .await;
}
