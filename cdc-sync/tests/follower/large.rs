//! Transactions that are larger than what is ever held in memory.

use crate::crash::spawn;
use crate::world::World;

/// What the process may grow by. A transaction of 32,000 orders would need about twice as much.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_transaction_is_followed_in_flat_memory() {
    World::run(async |world| {
        let mut process = spawn(world);
        let shard = &world.shards[0];
        let ids = shard.accept(4_000).await;
        shard.pay(&ids).await;
        world.agree().await;
        let before = peak_kib(process.id());
        for _ in 0..3 {
            shard.execute(DOUBLE).await;
        }
        shard
            .execute("UPDATE orders SET version = version + 1")
            .await;
        world.agree().await;
        let grown = peak_kib(process.id()) - before;
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(grown < GROWTH_KIB_MAX, "{before} KiB grew by {grown} KiB");
    })
    .await;
}
