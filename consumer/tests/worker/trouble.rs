//! A database that is down or slow delays the orders that touch it, and costs no partition.

use crate::gate::Gate;
use crate::support::{Own, command, eventually, with_own};
use domain::{OrderId, OrderState, PaymentCommand};
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Executor};
use std::time::{Duration, Instant};
use store::StoresSettings;

/// The settings with the second order shard behind a gate.
pub async fn gated(own: &Own) -> (StoresSettings, Gate) {
    let mut settings = own.stores_settings.clone();
    let url = settings.order_shards[1].clone();
    let (login, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let gate = Gate::before(server).await;
    settings.order_shards[1] = format!("{login}@{}/{database}", gate.address);
    (settings, gate)
}

pub fn shard_of(own: &Own, command: &PaymentCommand) -> u16 {
    own.stores.routing().order_shard(command.order_id).index
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_whose_shard_is_down_are_parked_while_the_others_flow() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let worker = own.worker_with(&settings, |_| {});
        let all: Vec<_> = (0..200).map(|_| command(payer, shop, 1)).collect();
        own.send_all(&all).await;
        let of = |shard| -> Vec<OrderId> {
            let there = all
                .iter()
                .filter(|command| shard_of(&own, command) == shard);
            there.map(|command| command.order_id).collect()
        };
        own.ended(&of(0)).await;
        assert!(own.states(&of(1)).await.iter().all(Option::is_none));
        // Later records flow as well, also on partitions that a parked one holds back.
        let later: Vec<_> = (0..100).map(|_| command(payer, shop, 1)).collect();
        own.send_all(&later).await;
        let later = later.iter().filter(|command| shard_of(&own, command) == 0);
        own.ended(&later.map(|command| command.order_id).collect::<Vec<_>>())
            .await;
        assert_ne!(own.committed().await, own.ends().await);
        gate.open().await;
        own.ended(&of(1)).await;
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (300, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_when_the_worker_stopped_is_delivered_again() {
    with_own(async |own| {
        let (settings, _shut) = gated(&own).await;
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let worker = own.worker_with(&settings, |_| {});
        let all: Vec<_> = (0..100).map(|_| command(payer, shop, 1)).collect();
        let ids = own.send_all(&all).await;
        let reached = all.iter().filter(|command| shard_of(&own, command) == 0);
        own.ended(&reached.map(|command| command.order_id).collect::<Vec<_>>())
            .await;
        worker.stop().await;
        let worker = own.worker();
        own.ended(&ids).await;
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (100, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_comes_and_goes_under_load_loses_nothing() {
    with_own(async |own| {
        let (settings, mut gate) = gated(&own).await;
        gate.open().await;
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let worker = own.worker_with(&settings, |_| {});
        let mut ids = Vec::new();
        for round in 0..12 {
            if round % 4 == 1 {
                gate.shut();
            }
            if round % 4 == 3 {
                gate.open().await;
            }
            let wave: Vec<_> = (0..50).map(|_| command(payer, shop, 1)).collect();
            ids.extend(own.send_all(&wave).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let ended = own.ended(&ids).await;
        assert!(ended.iter().all(|state| *state == OrderState::Paid));
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (600, 0));
    })
    .await;
}

/// Nobody else can use the orders of this shard until it is closed.
async fn lock_orders(own: &Own, shard: usize) -> MySqlConnection {
    let url = &own.stores_settings.order_shards[shard];
    let mut lock = MySqlConnection::connect(url).await.unwrap();
    lock.execute("LOCK TABLES orders WRITE").await.unwrap();
    lock
}

/// The tables are locked for longer than the poll may be away, with more to do than there is room for.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_costs_the_worker_no_partition() {
    with_own(async |own| {
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let worker = own.worker_with(&own.stores_settings, |settings| {
            settings.max_poll_interval_ms = 6_000;
            settings.room_kib_max = 64;
            settings.parked_kib_max = 16;
        });
        eventually("the worker is ready", async || {
            worker.readiness.check().ok()
        })
        .await;
        let lock = lock_orders(&own, 0).await;
        let all: Vec<_> = (0..600).map(|_| command(payer, shop, 1)).collect();
        let ids = own.send_all(&all).await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(12) {
            assert_eq!(worker.readiness.check(), Ok(()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        lock.close().await.unwrap();
        own.ended(&ids).await;
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (600, 0));
    })
    .await;
}

/// A worker with its hands full loses partitions while they are paused, and gets them back.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_went_away_paused_are_read_when_they_come_back() {
    with_own(async |own| {
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let full = own.worker_with(&own.stores_settings, |settings| {
            settings.room_kib_max = 64;
            settings.parked_kib_max = 16;
            settings.revoke_wait_ms = 1_000;
        });
        eventually("the worker is ready", async || full.readiness.check().ok()).await;
        let locks = [lock_orders(&own, 0).await, lock_orders(&own, 1).await];
        let first: Vec<_> = (0..600).map(|_| command(payer, shop, 1)).collect();
        let first = own.send_all(&first).await;
        tokio::time::sleep(Duration::from_secs(3)).await;

        let second = own.worker();
        eventually("the second worker is ready", async || {
            second.readiness.check().ok()
        })
        .await;
        for lock in locks {
            lock.close().await.unwrap();
        }
        own.ended(&first).await;
        second.stop().await;
        let later: Vec<_> = (0..120).map(|_| command(payer, shop, 1)).collect();
        let later = own.send_all(&later).await;
        own.ended(&later).await;
        own.all_committed().await;
        full.stop().await;
        assert_eq!(own.money(shop).await, (720, 0));
    })
    .await;
}

/// How long a few orders may take on a busy machine; while their shard is shut it is longer.
const SOON: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_held_up_alone_does_not_shut_its_shard() {
    with_own(async |own| {
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let worker = own.worker();
        let held = command(payer, shop, 1);
        let shard = shard_of(&own, &held);
        own.ended(&own.send_all(std::slice::from_ref(&held)).await)
            .await;
        let url = &own.stores_settings.order_shards[usize::from(shard)];
        let mut other = MySqlConnection::connect(url).await.unwrap();
        let mut locked = other.begin().await.unwrap();
        let lock = sqlx::query("SELECT 1 FROM orders WHERE id = ? FOR UPDATE");
        let lock = lock.bind(held.order_id.as_bytes().to_vec());
        lock.fetch_one(&mut *locked).await.unwrap();
        own.send_all(std::slice::from_ref(&held)).await;
        // By then somebody has waited for it in vain.
        tokio::time::sleep(Duration::from_secs(8)).await;
        for _ in 0..8 {
            let beside = std::iter::repeat_with(|| command(payer, shop, 1));
            // Who waits for a row waits for the gap before it too, and in a small table that is wide.
            let beside: Vec<_> = beside
                .filter(|command| command.order_id > held.order_id)
                .filter(|command| shard_of(&own, command) == shard)
                .take(3)
                .collect();
            let begun = Instant::now();
            let ids = own.send_all(&beside).await;
            // Not each: who is on its partition waits while it is tried.
            eventually("one of them is paid", async || {
                let states = own.states(&ids).await;
                states.contains(&Some(OrderState::Paid)).then_some(())
            })
            .await;
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            own.ended(&ids).await;
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        locked.rollback().await.unwrap();
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (25, 0));
    })
    .await;
}
