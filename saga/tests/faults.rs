//! A coordinator that stops at each fault point, for ever or for a while, and others that do not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::conformance::Effect;
use saga::faults::Faults;
use saga::{Answer, Sweeper, SweeperSettings};
use std::sync::Arc;
use std::time::Duration;
use support::Databases;
use support::harness::TestHarness;
use support::journal::Purchase;

const POINTS: [&str; 7] = [
    "after-log",
    "after-try-one-shard",
    "after-try",
    "after-decide",
    "after-confirm-one-shard",
    "after-finish",
    "after-end",
];

fn purchases() -> Vec<Purchase> {
    let of = |place: usize| {
        Purchase::of(if place.is_multiple_of(3) {
            [0, 2]
        } else {
            [1, 2]
        })
    };
    (0..9).map(of).collect()
}

async fn assert_ended(harness: &TestHarness, purchases: &[Purchase], point: &str) {
    for (place, purchase) in purchases.iter().enumerate() {
        let wanted = if place.is_multiple_of(3) {
            Effect::NONE
        } else {
            Effect::SETTLED
        };
        assert_eq!(
            harness.effects_of(purchase).await,
            vec![wanted; 2],
            "{point}: {purchase:?}"
        );
    }
    harness.make_all_due().await;
    let sweeper = Sweeper::new(Arc::new(harness.coordinator()), SweeperSettings::default());
    assert_eq!(sweeper.sweep_once().await.claimed, 0, "{point}");
}

#[tokio::test]
async fn a_coordinator_that_dies_at_any_point_is_taken_over_by_a_sweeper() {
    let harness = TestHarness::new(Databases::create().await);
    for point in POINTS {
        let faults = Faults::default();
        faults.arm(point, "pause");
        let purchases = purchases();
        let coordinator = harness.coordinator().with_faults(faults);
        let run = coordinator.run(purchases.clone());
        assert!(
            tokio::time::timeout(Duration::from_millis(1_500), run)
                .await
                .is_err(),
            "{point}"
        );
        harness.make_all_due().await;
        let sweeper = Sweeper::new(Arc::new(harness.coordinator()), SweeperSettings::default());
        sweeper.sweep_once().await;
        assert_ended(&harness, &purchases, point).await;
    }
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_coordinator_that_wakes_at_any_point_after_another_finished_does_no_harm() {
    let harness = TestHarness::new(Databases::create().await);
    for point in POINTS {
        let faults = Faults::default();
        faults.arm(point, "pause");
        let purchases = purchases();
        let sleeper = harness.coordinator().with_faults(faults.clone());
        let asleep = {
            let purchases = purchases.clone();
            tokio::spawn(async move { sleeper.run(purchases).await })
        };
        tokio::time::sleep(Duration::from_millis(700)).await;
        let finished = harness.coordinator().run(purchases.clone()).await;
        assert!(!asleep.is_finished(), "{point}");
        faults.disarm(point);
        let woken = asleep.await.unwrap();
        assert_eq!(woken, finished, "{point}");
        assert!(
            woken
                .iter()
                .all(|answer| matches!(answer, Answer::Done { .. })),
            "{point}"
        );
        assert_ended(&harness, &purchases, point).await;
    }
    harness.databases.drop_all().await;
}
