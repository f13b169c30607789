//! The small business under the conformance kit.

use super::journal::{Journal, Purchase, Quantity, effect};
use super::{BRANCH_SHARDS, Databases, LOG_SHARDS};
use saga::conformance::{Effect, engine, log, participant};
use saga::{
    Branch, Coordinator, CoordinatorSettings, Fenced, LogTable, LogTableSettings, LoggedRecord,
    Reason, Shards, Xid,
};
use sqlx::Executor;
use std::time::Duration;

/// Too late.
pub const EXPIRED: Reason = Reason(9);

pub type TestCoordinator = Coordinator<LogTable<Purchase>, Fenced<Journal>>;

pub struct TestHarness {
    pub databases: Databases,
    participant: Fenced<Journal>,
    log: LogTable<Purchase>,
}

pub fn log_table() -> LogTable<Purchase> {
    let settings = LogTableSettings {
        lease: Duration::from_secs(60),
        decide_within: Duration::from_secs(900),
        overdue: EXPIRED,
    };
    LogTable::new(LOG_SHARDS.to_vec(), settings)
}

pub fn coordinator_on(shards: Shards, settings: CoordinatorSettings) -> TestCoordinator {
    Coordinator::new(log_table(), Fenced::new(Journal), shards, settings)
}

impl TestHarness {
    pub fn new(databases: Databases) -> Self {
        Self {
            databases,
            participant: Fenced::new(Journal),
            log: log_table(),
        }
    }

    pub fn coordinator(&self) -> TestCoordinator {
        coordinator_on(
            self.databases.shards.clone(),
            CoordinatorSettings::default(),
        )
    }

    pub async fn effects_of(&self, purchase: &Purchase) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (number, (shard, _)) in (0u8..).zip(&purchase.parts) {
            let pool = self.databases.pool(saga::ShardId(*shard));
            effects.push(effect(pool, purchase.xid(), number).await);
        }
        effects
    }

    pub async fn make_all_due(&self) {
        for shard in LOG_SHARDS {
            let due = "UPDATE global_tx SET next_attempt_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND
                 WHERE next_attempt_at IS NOT NULL";
            self.databases.pool(shard).execute(due).await.unwrap();
        }
    }

    async fn make_late(&self, purchase: &Purchase) {
        sqlx::query(
            "UPDATE global_tx SET decide_by = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE xid = ?",
        )
        .bind(purchase.xid().0.as_slice())
        .execute(self.databases.pool(purchase.shard()))
        .await
        .unwrap();
    }
}

impl participant::Harness for TestHarness {
    type Participant = Fenced<Journal>;

    fn participant(&self) -> &Fenced<Journal> {
        &self.participant
    }

    fn shards(&self) -> Shards {
        self.databases.shards.clone()
    }

    async fn ready(&self, n: usize) -> Vec<Branch<Quantity>> {
        let mut branches: Vec<_> = (0..n).map(|_| branch_of(3)).collect();
        branches.sort_unstable_by_key(|branch| branch.xid);
        branches
    }

    async fn refusing(&self) -> Branch<Quantity> {
        branch_of(0)
    }

    fn altered(&self, branch: &Branch<Quantity>) -> Option<Branch<Quantity>> {
        Some(Branch {
            payload: Quantity(branch.payload.0 + 1),
            ..branch.clone()
        })
    }

    async fn effect(&self, branch: &Branch<Quantity>) -> Effect {
        effect(self.databases.pool(branch.shard), branch.xid, branch.number).await
    }
}

fn branch_of(quantity: u32) -> Branch<Quantity> {
    let xid = Xid(rand::random());
    Branch {
        xid,
        number: 0,
        shard: BRANCH_SHARDS[0],
        payload: Quantity(quantity),
    }
}

impl log::Harness for TestHarness {
    type Log = LogTable<Purchase>;

    fn log(&self) -> &LogTable<Purchase> {
        &self.log
    }

    fn shards(&self) -> Shards {
        self.databases.shards.clone()
    }

    async fn records(&self, n: usize) -> Vec<Purchase> {
        let record = |_| Purchase::of([1, 2]).logged_on(LOG_SHARDS[1]);
        let mut records: Vec<_> = (0..n).map(record).collect();
        records.sort_unstable_by_key(Purchase::xid);
        records
    }

    fn altered(&self, purchase: &Purchase) -> Purchase {
        other_note(purchase)
    }

    fn reason(&self) -> Reason {
        Reason(3)
    }

    async fn make_due(&self) {
        self.make_all_due().await;
    }

    async fn make_overdue(&self, purchase: &Purchase) {
        self.make_late(purchase).await;
    }
}

fn other_note(purchase: &Purchase) -> Purchase {
    Purchase {
        note: "something else".to_owned(),
        ..purchase.clone()
    }
}

impl engine::Harness for TestHarness {
    type Log = LogTable<Purchase>;
    type Participant = Fenced<Journal>;

    fn log(&self) -> LogTable<Purchase> {
        self.log.clone()
    }

    fn participant(&self) -> Fenced<Journal> {
        self.participant.clone()
    }

    fn shards(&self) -> Shards {
        self.databases.shards.clone()
    }

    async fn confirming(&self, n: usize) -> Vec<Purchase> {
        (0..n).map(|_| Purchase::of([2, 3])).collect()
    }

    async fn refusing(&self, n: usize) -> Vec<Purchase> {
        (0..n)
            .map(|place| {
                Purchase::of(if place.is_multiple_of(2) {
                    [4, 0]
                } else {
                    [0, 4]
                })
            })
            .collect()
    }

    fn altered(&self, purchase: &Purchase) -> Purchase {
        other_note(purchase)
    }

    async fn effects(&self, purchase: &Purchase) -> Vec<Effect> {
        self.effects_of(purchase).await
    }

    async fn make_due(&self) {
        self.make_all_due().await;
    }

    async fn make_overdue(&self, purchase: &Purchase) {
        self.make_late(purchase).await;
    }
}
