//! Scenarios 16 to 22: a worker dies between two rounds, another takes over.

use crate::commands::{Commands, with_commands};
use crate::in_hand::Orders;
use crate::scenario::{Scenario, scenario};
use crate::worker::Worker;
use domain::{OrderState, StoreKind};
use std::collections::HashSet;
use std::time::Duration;

/// INV-8 here: the dead worker's session (6 s), its lease (2 s), a start and the work.
const BOUND: Duration = Duration::from_secs(45);

/// Which way the orders go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Confirm,
    Cancel,
}

/// Where a worker dies, and what it leaves then on each account shard.
struct Death {
    point: &'static str,
    stage: Stage,
    /// Whether there are holds.
    tried: [bool; 2],
    /// Whether they are settled.
    finished: [bool; 2],
}

#[derive(Clone, Copy)]
enum Stage {
    Logged,
    Decided,
    Ended,
}

impl Stage {
    fn state(self, path: Path) -> OrderState {
        match (self, path) {
            (Self::Logged, _) => OrderState::Trying,
            (Self::Decided, Path::Confirm) => OrderState::Confirming,
            (Self::Decided, Path::Cancel) => OrderState::Cancelling,
            (Self::Ended, Path::Confirm) => OrderState::Paid,
            (Self::Ended, Path::Cancel) => OrderState::Cancelled,
        }
    }
}

/// What is found on the stores.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    rows: usize,
    states: HashSet<OrderState>,
    tried: [bool; 2],
    finished: [bool; 2],
    /// Some of a shard's holds are settled and some are not: a round is one SQL transaction.
    in_part: bool,
}

async fn look(s: &Scenario, orders: &Orders<'_>) -> Found {
    let mut found = Found {
        rows: 0,
        states: HashSet::new(),
        tried: [false; 2],
        finished: [false; 2],
        in_part: false,
    };
    for order in &orders.orders {
        if let Some(state) = s.state(order).await {
            found.rows += 1;
            found.states.insert(state);
        }
    }
    for shard in s.shards_of(StoreKind::Accounts) {
        let index = usize::from(shard.index);
        let (holds, open): (i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), COUNT(IF(state = 1, 1, NULL)) FROM holds WHERE state <> 2",
        )
        .fetch_one(s.own.pool(shard))
        .await
        .unwrap();
        found.tried[index] = holds > 0;
        found.finished[index] = holds > 0 && open == 0;
        found.in_part |= open > 0 && open < holds;
    }
    found
}

async fn another_takes_over(path: Path, death: Death) {
    scenario(async |s| {
        with_commands(async |commands| take_over(&s, &commands, path, &death).await).await;
    })
    .await;
}

async fn take_over(s: &Scenario, commands: &Commands, path: Path, death: &Death) {
    let mut orders = Orders::new(s).await;
    let count = 20 + s.below(40);
    match path {
        Path::Confirm => orders.good(count),
        Path::Cancel => orders.bad(count),
    }
    commands.send(&orders.commands).await;

    let fault = format!("{}=abort", death.point);
    let doomed = Worker::start(&s.own, commands, &[("HOLDFAST_FAULTS", &fault)]);
    doomed.dies().await;
    let found = look(s, &orders).await;
    assert_left(&found, path, death, count);
    assert_eq!(commands.committed().await, 0);

    let heir = Worker::start(&s.own, commands, &[]);
    s.assert_progress(BOUND).await;
    commands.await_committed(count).await;
    heir.stop().await;
    orders.assert_ended_as_meant(s).await;
    s.assert_right().await;
}

/// A worker takes what has arrived, which on a busy machine may be less than was sent: then it died
/// with a part in hand, or, past the end, with the next part begun.
fn assert_left(found: &Found, path: Path, death: &Death, sent: usize) {
    let expected = Found {
        rows: sent,
        states: HashSet::from([death.stage.state(path)]),
        tried: death.tried,
        finished: death.finished,
        in_part: false,
    };
    println!("it left {found:?} of {sent}");
    match death.stage {
        Stage::Ended => assert!(found.states.is_superset(&expected.states), "{found:?}"),
        Stage::Logged | Stage::Decided if found.rows == sent => assert_eq!(*found, expected),
        Stage::Logged | Stage::Decided => assert_eq!(found.states, expected.states),
    }
}

macro_rules! a_worker_dies {
    ($($line:literal $confirm:ident $cancel:ident $death:expr;)*) => {$(
        #[doc = $line]
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $confirm() {
            another_takes_over(Path::Confirm, $death).await;
        }

        #[doc = $line]
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $cancel() {
            another_takes_over(Path::Cancel, $death).await;
        }
    )*};
}

const NONE: [bool; 2] = [false, false];
const ONE: [bool; 2] = [true, false];
const BOTH: [bool; 2] = [true, true];

const fn death(point: &'static str, stage: Stage, tried: [bool; 2], finished: [bool; 2]) -> Death {
    Death {
        point,
        stage,
        tried,
        finished,
    }
}

a_worker_dies! {
    "16." a_death_after_the_log_before_the_try_is_paid_by_another
        a_death_after_the_log_before_the_try_is_cancelled_by_another
        death("after-log", Stage::Logged, NONE, NONE);
    "17." a_death_after_the_try_on_one_of_two_shards_is_paid_by_another
        a_death_after_the_try_on_one_of_two_shards_is_cancelled_by_another
        death("after-try-one-shard", Stage::Logged, ONE, NONE);
    "18." a_death_after_the_try_before_the_decision_is_paid_by_another
        a_death_after_the_try_before_the_decision_is_cancelled_by_another
        death("after-try", Stage::Logged, BOTH, NONE);
    "19." a_death_after_the_decision_before_the_first_confirm_is_paid_by_another
        a_death_after_the_decision_before_the_first_cancel_is_cancelled_by_another
        death("after-decide", Stage::Decided, BOTH, NONE);
    "20." a_death_after_the_confirm_on_one_of_two_shards_is_paid_by_another
        a_death_after_the_cancel_on_one_of_two_shards_is_cancelled_by_another
        death("after-confirm-one-shard", Stage::Decided, BOTH, ONE);
    "21." a_death_after_the_confirm_before_the_end_is_paid_by_another
        a_death_after_the_cancel_before_the_end_is_cancelled_by_another
        death("after-finish", Stage::Decided, BOTH, BOTH);
    "22." a_death_after_the_end_before_the_offset_commit_is_paid_once
        a_death_after_the_end_before_the_offset_commit_is_cancelled_once
        death("before-offset-commit", Stage::Ended, BOTH, BOTH);
}
