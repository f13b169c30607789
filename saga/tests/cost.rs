//! What a batch costs in statements.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::Answer;
use sqlx::mysql::MySqlPool;
use support::harness::TestHarness;
use support::journal::Purchase;
use support::{BRANCH_SHARDS, Databases, LOG_SHARDS};

#[tokio::test]
async fn two_hundred_orders_cost_as_many_statements_as_two() {
    let harness = TestHarness::new(Databases::with_pool_size(1).await);
    let coordinator = harness.coordinator();
    let batch = |n: usize| -> Vec<Purchase> {
        let of = |place: usize| {
            Purchase::of(if place.is_multiple_of(2) {
                [2, 3]
            } else {
                [2, 0]
            })
        };
        let home = |place: usize| LOG_SHARDS[(place / 2) % 2];
        (0..n)
            .map(|place| of(place).logged_on(home(place)))
            .collect()
    };
    coordinator.run(batch(4)).await;
    let mut costs = Vec::new();
    for n in [4, 200] {
        let before = statements(&harness.databases).await;
        let answers = coordinator.run(batch(n)).await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Answer::Done { .. }))
        );
        let after = statements(&harness.databases).await;
        costs.push(
            before
                .iter()
                .zip(after)
                .map(|(before, after)| after - before)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(costs[0], costs[1]);
    // Rounds 1, 3 and 5 on a log shard: BEGIN, the statement, COMMIT, and the count itself.
    assert_eq!(costs[0][..2], [10, 10]);
    harness.databases.drop_all().await;
}

async fn statements(databases: &Databases) -> Vec<i64> {
    let mut counts = Vec::new();
    for shard in LOG_SHARDS.iter().chain(&BRANCH_SHARDS) {
        counts.push(questions(&databases.shards.get(*shard).pool).await);
    }
    counts
}

async fn questions(pool: &MySqlPool) -> i64 {
    let status = "SHOW SESSION STATUS LIKE 'Questions'";
    let (_, count): (String, String) = sqlx::query_as(status).fetch_one(pool).await.unwrap();
    count.parse().unwrap()
}
