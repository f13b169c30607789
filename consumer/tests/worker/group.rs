//! Workers come, go and die under load, and every order ends once.

use crate::support::{Own, command, with_own};
use domain::{AccountId, OrderId};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Orders over a few seconds, 1 unit each.
fn load(own: &Own, payer: AccountId, shop: AccountId, orders: usize) -> JoinHandle<Vec<OrderId>> {
    let own = own.clone();
    tokio::spawn(async move {
        let mut ids = Vec::new();
        for _ in 0..orders / 50 {
            let wave: Vec<_> = (0..50).map(|_| command(payer, shop, 1)).collect();
            ids.extend(own.send_all(&wave).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ids
    })
}

async fn all_paid_once(own: &Own, ids: &[OrderId], shop: AccountId) {
    own.ended(ids).await;
    assert_eq!(own.money(shop).await, (ids.len() as i64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_middle_of_a_batch_loses_nothing() {
    with_own(async |own| {
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let loading = load(&own, payer, shop, 2_000);
        for _ in 0..3 {
            let worker = own.worker();
            tokio::time::sleep(Duration::from_millis(700)).await;
            worker.stop().await;
        }
        let ids = loading.await.unwrap();
        let worker = own.worker();
        all_paid_once(&own, &ids, shop).await;
        own.all_committed().await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_and_go_under_load_end_each_order_once() {
    with_own(async |own| {
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let first = own.worker();
        let loading = load(&own, payer, shop, 4_000);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = own.worker();
        tokio::time::sleep(Duration::from_secs(2)).await;
        first.stop().await;
        let third = own.worker();
        let ids = loading.await.unwrap();
        all_paid_once(&own, &ids, shop).await;
        own.all_committed().await;
        second.stop().await;
        third.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_leaves_its_orders_to_another() {
    with_own(async |own| {
        let (payer, shop) = (own.account(100_000).await, own.account(0).await);
        let doomed = own.worker();
        let loading = load(&own, payer, shop, 1_000);
        tokio::time::sleep(Duration::from_millis(800)).await;
        doomed.kill();
        let heir = own.worker();
        let ids = loading.await.unwrap();
        all_paid_once(&own, &ids, shop).await;
        own.all_committed().await;
        heir.stop().await;
    })
    .await;
}
