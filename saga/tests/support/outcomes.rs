//! What became of purchases.

use super::harness::{TestCoordinator, TestHarness};
use super::journal::Purchase;
use saga::conformance::Effect;
use saga::{Answer, Outcome, Sweeper, SweeperSettings};
use std::sync::Arc;

/// Done, without a reason.
pub const CONFIRMED: Answer = Answer::Done {
    outcome: Outcome::Confirmed,
    reason: None,
};

pub fn is_waiting(answer: &Answer) -> bool {
    matches!(answer, Answer::Waiting { .. })
}

pub fn is_parked(answer: &Answer) -> bool {
    matches!(answer, Answer::Parked { .. })
}

/// Sweeps until nothing is open.
pub async fn sweep_all(harness: &TestHarness, coordinator: TestCoordinator) {
    let sweeper = Sweeper::new(Arc::new(coordinator), SweeperSettings::default());
    for _ in 0..20 {
        harness.make_all_due().await;
        if sweeper.sweep_once().await.claimed == 0 {
            return;
        }
    }
    panic!("still open after twenty sweeps");
}

pub async fn assert_settled(harness: &TestHarness, purchases: &[Purchase]) {
    for purchase in purchases {
        let effects = harness.effects_of(purchase).await;
        assert!(
            effects.iter().all(|effect| *effect == Effect::SETTLED),
            "{purchase:?}: {effects:?}"
        );
    }
}
