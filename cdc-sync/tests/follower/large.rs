//! Transactions that are larger than what is ever held in memory.

use crate::crash::spawn;
use crate::events::with_events;
use crate::world::World;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What the process may grow by, whatever the transaction's size. One of 64,000 orders is 100 MiB in
/// the binlog.
const GROWTH_KIB_MAX: u64 = 40 * 1024;

/// Orders before they are doubled.
const FIRST: usize = 4_000;

const DOUBLE: &str = "INSERT INTO orders (id, tenant, merchant, body_digest, state, version, currency, amount, \
    branches, reference, description, accepted_at, not_after, decide_by, next_attempt_at, created_at, \
    updated_at) SELECT RANDOM_BYTES(16), tenant, merchant, body_digest, state, version, currency, amount, \
    branches, reference, description, accepted_at, not_after, decide_by, next_attempt_at, created_at, \
    updated_at FROM orders";

/// The most memory that was ever resident.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.trim().parse().unwrap()
}

/// Waits until a search finds so many orders in this version.
async fn found(world: &World, version: u64, orders: usize) {
    let path = format!("/{}/_count", world.settings.search.alias);
    let query = json!({ "query": { "term": { "version": version } } });
    let begun = Instant::now();
    let mut count = None;
    while count != Some(orders as u64) {
        assert!(
            begun.elapsed() < Duration::from_secs(900),
            "{count:?} of {orders} are found"
        );
        sleep(Duration::from_millis(200)).await;
        let answer = world
            .search
            .ask(Method::POST, &path, Some(query.clone()))
            .await;
        count = answer.and_then(|answer| answer["count"].as_u64());
    }
}

/// `LARGE_DOUBLINGS=8` makes it a million.
#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_transaction_is_followed_in_flat_memory() {
    let doublings = std::env::var("LARGE_DOUBLINGS").map_or(4, |count| count.parse().unwrap());
    with_events(async |world, _| {
        let mut process = spawn(world);
        let shard = &world.shards[0];
        let ids = shard.accept(FIRST).await;
        shard.pay(&ids).await;
        found(world, 2, FIRST).await;
        let before = peak_kib(process.id());
        for _ in 0..doublings {
            shard.execute(DOUBLE).await;
        }
        let all = "UPDATE orders SET version = version + 1";
        shard.execute(all).await;
        found(world, 3, FIRST << doublings).await;
        let peak = peak_kib(process.id());
        process.kill().unwrap();
        process.wait().unwrap();
        let grown = peak - before;
        println!(
            "{} orders: {before} KiB grew by {grown} KiB",
            FIRST << doublings
        );
        assert!(grown < GROWTH_KIB_MAX, "{before} KiB grew by {grown} KiB");
    })
    .await;
}
