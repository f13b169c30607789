//! The sweeper's loop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::conformance::Effect;
use saga::{Answer, CoordinatorSettings, ShardId, SweepReport, Sweeper, SweeperSettings};
use sqlx::Executor;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::harness::{TestHarness, coordinator_on};
use support::journal::Purchase;
use support::meters::Meters;
use support::outcomes::is_waiting;
use support::{BRANCH_SHARDS, Databases, LOG_SHARDS};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_sweeper_told_to_stop_stops() {
    let harness = TestHarness::new(Databases::create().await);
    let sweeper = Sweeper::new(Arc::new(harness.coordinator()), SweeperSettings::default());
    let shutdown = CancellationToken::new();
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
    let shutdown = CancellationToken::new();
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

#[tokio::test]
async fn an_idle_sweeper_leaves_a_shard_alone_for_half_its_interval_at_least() {
    let meters = Meters::default();
    let _metered = metrics::set_default_local_recorder(&meters);
    let harness = TestHarness::new(Databases::create().await);
    let settings = SweeperSettings {
        idle_ms: 50,
        ..SweeperSettings::default()
    };
    let sweeper = Sweeper::new(Arc::new(harness.coordinator()), settings);
    let since = Instant::now();
    let run = sweeper.run(CancellationToken::new());
    let stopped = tokio::time::timeout(Duration::from_secs(1), run).await;
    let most = since.elapsed().as_millis() / 25 + 1;
    assert!(stopped.is_err(), "nobody told it to stop");
    let pages = u128::from(meters.counter("saga_sweeper_pages_total", "log-0"));
    assert!((2..=most).contains(&pages), "{pages} pages, {most} at most");
    harness.databases.drop_all().await;
}

/// Runs purchases that wait, for an hour, because neither branch shard has its fences.
async fn leave_open(harness: &TestHarness, purchases: Vec<Purchase>) {
    for shard in BRANCH_SHARDS {
        on(harness, shard, "RENAME TABLE fences TO away").await;
    }
    let patient = CoordinatorSettings {
        backoff_first_ms: 3_600_000,
        backoff_max_ms: 3_600_000,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), patient);
    let answers = coordinator.run(purchases).await;
    assert!(answers.iter().all(is_waiting), "{answers:?}");
}

async fn on(harness: &TestHarness, shard: ShardId, statement: &'static str) {
    let pool = harness.databases.pool(shard);
    pool.execute(statement).await.unwrap();
}

#[tokio::test]
async fn a_sweep_reports_what_it_took_what_became_of_it_and_the_shards_that_failed() {
    let harness = TestHarness::new(Databases::create().await);
    let (served, unserved) = (BRANCH_SHARDS[0], BRANCH_SHARDS[1]);
    let purchases = [served, unserved, served, unserved, served]
        .map(|shard| Purchase::from_one(shard, 1).logged_on(LOG_SHARDS[1]));
    leave_open(&harness, purchases.to_vec()).await;
    on(&harness, served, "RENAME TABLE away TO fences").await;
    harness.make_all_due().await;
    on(&harness, LOG_SHARDS[0], "RENAME TABLE global_tx TO away").await;

    let patient = CoordinatorSettings {
        backoff_first_ms: 60_000,
        backoff_max_ms: 60_000,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), patient);
    let settings = SweeperSettings {
        page_max: 2,
        ..SweeperSettings::default()
    };
    let report = Sweeper::new(Arc::new(coordinator), settings)
        .sweep_once()
        .await;
    let expected = SweepReport {
        pages: 3,
        claimed: 5,
        ended: 3,
        waiting: 2,
        shards_failed: 1,
    };
    assert_eq!(report, expected);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_running_sweeper_tells_how_many_are_stuck_on_each_shard() {
    let meters = Meters::default();
    let _metered = metrics::set_default_local_recorder(&meters);
    let harness = TestHarness::new(Databases::create().await);
    let [one, other] = LOG_SHARDS;
    let homes = [one, one, one, other, other];
    let purchases = homes.map(|home| Purchase::of([1, 1]).logged_on(home));
    leave_open(&harness, purchases.to_vec()).await;
    let attempted = "UPDATE global_tx SET attempts = 3 ORDER BY seq LIMIT 2";
    on(&harness, one, attempted).await;
    on(&harness, other, "UPDATE global_tx SET attempts = 2").await;

    let settings = CoordinatorSettings {
        stuck_after_attempts: 3,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), settings);
    let often = SweeperSettings {
        count_stuck_every_ms: 20,
        ..SweeperSettings::default()
    };
    let sweeper = Sweeper::new(Arc::new(coordinator), often);
    let shown = async |stuck: [f64; 2]| {
        let [first, second] = stuck.map(Some);
        while meters.gauge("saga_stuck", "log-0") != first
            || meters.gauge("saga_stuck", "log-1") != second
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let told = async {
        shown([2.0, 0.0]).await;
        on(&harness, other, "UPDATE global_tx SET attempts = 4").await;
        shown([2.0, 2.0]).await;
    };
    tokio::select! {
        () = sweeper.run(CancellationToken::new()) => panic!("nobody told it to stop"),
        told = tokio::time::timeout(Duration::from_secs(10), told) => told.unwrap(),
    }
    harness.databases.drop_all().await;
}
