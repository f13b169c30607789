//! The sweeper's loop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::conformance::Effect;
use saga::{Answer, CoordinatorSettings, Sweeper, SweeperSettings};
use std::sync::Arc;
use std::time::Duration;
use support::harness::{TestHarness, coordinator_on};
use support::journal::Purchase;
use support::{BRANCH_SHARDS, Databases};

#[tokio::test]
async fn a_sweeper_told_to_stop_stops() {
    let harness = TestHarness::new(Databases::create().await);
    let sweeper = Sweeper::new(Arc::new(harness.coordinator()), SweeperSettings::default());
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(sweeper.run(shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .unwrap()
        .unwrap();
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_running_sweeper_finishes_what_is_due() {
    let harness = TestHarness::new(Databases::create().await);
    let dead = coordinator_on(
        harness.databases.with_dead(BRANCH_SHARDS[0]),
        CoordinatorSettings {
            backoff_first_ms: 1,
            ..CoordinatorSettings::default()
        },
    );
    let purchases: Vec<_> = (0..10).map(|_| Purchase::of([1, 1])).collect();
    assert!(
        dead.run(purchases.clone())
            .await
            .iter()
            .all(|answer| matches!(answer, Answer::Waiting { .. }))
    );
    let settings = SweeperSettings {
        idle_ms: 20,
        page_max: 3,
        ..SweeperSettings::default()
    };
    let sweeper = Sweeper::new(Arc::new(harness.coordinator()), settings);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(sweeper.run(shutdown.clone()));
    let settled = async {
        for purchase in &purchases {
            while harness.effects_of(purchase).await != vec![Effect::SETTLED; 2] {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled)
        .await
        .unwrap();
    shutdown.cancel();
    running.await.unwrap();
    harness.databases.drop_all().await;
}
