//! What is logged for a person to look at, and how often.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::{CoordinatorSettings, Sweeper, SweeperSettings};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::harness::{TestCoordinator, TestHarness, coordinator_on};
use support::journal::{POISON, Purchase};
use support::meters::Meters;
use support::outcomes::is_waiting;
use support::{BRANCH_SHARDS, Databases};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Counts the errors that its thread logs.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicUsize>);

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// How many errors are logged by a run of the purchase, which waits, and by each of five sweeps.
async fn errors_by_attempt(
    harness: &TestHarness,
    coordinator: TestCoordinator,
    purchase: Purchase,
) -> Vec<usize> {
    let errors = Errors::default();
    let _logged = tracing::subscriber::set_default(errors.clone());
    let answers = coordinator.run(vec![purchase]).await;
    assert!(is_waiting(&answers[0]), "{answers:?}");
    let mut counts = vec![errors.0.swap(0, Ordering::Relaxed)];
    let sweeper = Sweeper::new(Arc::new(coordinator), SweeperSettings::default());
    for _ in 0..5 {
        harness.make_all_due().await;
        assert_eq!(sweeper.sweep_once().await.waiting, 1);
        counts.push(errors.0.swap(0, Ordering::Relaxed));
    }
    counts
}

/// The sweeps find that it was attempted 0, 1, 2, 3 and 4 times before.
#[tokio::test]
async fn an_alarm_is_logged_at_once_and_each_time_that_the_attempts_double() {
    let harness = TestHarness::new(Databases::create().await);
    let poison = Purchase::of([POISON, 2]);
    let errors = errors_by_attempt(&harness, harness.coordinator(), poison).await;
    assert_eq!(errors, [1, 1, 1, 1, 0, 1]);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn what_becomes_stuck_is_logged_and_counted_by_that_attempt_only() {
    let meters = Meters::default();
    let _metered = metrics::set_default_local_recorder(&meters);
    let harness = TestHarness::new(Databases::create().await);
    let settings = CoordinatorSettings {
        stuck_after_attempts: 3,
        ..CoordinatorSettings::default()
    };
    let dead = harness.databases.with_dead(BRANCH_SHARDS[0]);
    let coordinator = coordinator_on(dead, settings);
    let errors = errors_by_attempt(&harness, coordinator, Purchase::of([1, 1])).await;
    assert_eq!(errors, [0, 0, 0, 1, 0, 0]);
    assert_eq!(meters.count("saga_alarms_total", &[("kind", "stuck")]), 1);
    harness.databases.drop_all().await;
}
