//! The conformance kit itself: participants with a well-known defect must fail it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::conformance::{Effect, engine, participant};
use saga::{
    Branch, Fenced, FinishOutcome, LogTable, Participant, Pass, Shards, SqlFault, TryOutcome,
};
use sqlx::mysql::MySqlConnection;
use support::Databases;
use support::harness::TestHarness;
use support::journal::{Journal, Purchase, Quantity};

/// What is wrong with a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    /// A cancel of what was never tried leaves nothing behind.
    NoTombstone,
    /// A try that is repeated reserves again.
    TryForgets,
    /// A try that came after a cancel is skipped and called a success.
    SkippedTryIsSuccess,
    /// A confirm says done without looking.
    ConfirmIsBlind,
    /// A cancel says done and releases nothing.
    CancelIsBlind,
}

#[derive(Debug, Clone)]
struct Defective {
    inner: Fenced<Journal>,
    defect: Defect,
}

const COUNT: &str = "SELECT COUNT(*) FROM fences WHERE xid = ? AND branch = ?";

impl Participant for Defective {
    type Payload = Quantity;

    async fn try_reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
        pass: Pass,
    ) -> Result<Vec<TryOutcome>, SqlFault> {
        if self.defect == Defect::TryForgets {
            forget(conn, branches).await?;
        }
        let outcomes = self.inner.try_reserve(conn, branches, pass).await?;
        let skipped = |outcome: TryOutcome| match (&outcome, self.defect) {
            (TryOutcome::CancelledBefore, Defect::SkippedTryIsSuccess) => TryOutcome::Reserved,
            _as_it_should => outcome,
        };
        Ok(outcomes.into_iter().map(skipped).collect())
    }

    async fn confirm(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        if self.defect == Defect::ConfirmIsBlind {
            return Ok(vec![FinishOutcome::Done; branches.len()]);
        }
        self.inner.confirm(conn, branches, pass).await
    }

    async fn cancel(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        if self.defect == Defect::CancelIsBlind {
            return Ok(vec![FinishOutcome::Done; branches.len()]);
        }
        if self.defect == Defect::NoTombstone {
            for branch in branches {
                let found: (i64,) = sqlx::query_as(COUNT)
                    .bind(branch.xid.0.as_slice())
                    .bind(branch.number)
                    .fetch_one(&mut *conn)
                    .await?;
                if found.0 == 0 {
                    return Ok(vec![FinishOutcome::Done; branches.len()]);
                }
            }
        }
        self.inner.cancel(conn, branches, pass).await
    }
}

async fn forget(conn: &mut MySqlConnection, branches: &[Branch<Quantity>]) -> Result<(), SqlFault> {
    for branch in branches {
        sqlx::query("DELETE FROM fences WHERE xid = ? AND branch = ?")
            .bind(branch.xid.0.as_slice())
            .bind(branch.number)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

struct DefectiveHarness {
    sound: TestHarness,
    participant: Defective,
}

impl DefectiveHarness {
    fn new(sound: TestHarness, defect: Defect) -> Self {
        Self {
            sound,
            participant: Defective {
                inner: Fenced::new(Journal),
                defect,
            },
        }
    }
}

impl participant::Harness for DefectiveHarness {
    type Participant = Defective;

    fn participant(&self) -> &Defective {
        &self.participant
    }

    fn shards(&self) -> Shards {
        participant::Harness::shards(&self.sound)
    }

    async fn ready(&self, n: usize) -> Vec<Branch<Quantity>> {
        participant::Harness::ready(&self.sound, n).await
    }

    async fn refusing(&self) -> Branch<Quantity> {
        participant::Harness::refusing(&self.sound).await
    }

    fn altered(&self, branch: &Branch<Quantity>) -> Option<Branch<Quantity>> {
        participant::Harness::altered(&self.sound, branch)
    }

    async fn effect(&self, branch: &Branch<Quantity>) -> Effect {
        participant::Harness::effect(&self.sound, branch).await
    }
}

impl engine::Harness for DefectiveHarness {
    type Log = LogTable<Purchase>;
    type Participant = Defective;

    fn log(&self) -> LogTable<Purchase> {
        engine::Harness::log(&self.sound)
    }

    fn participant(&self) -> Defective {
        self.participant.clone()
    }

    fn shards(&self) -> Shards {
        engine::Harness::shards(&self.sound)
    }

    async fn confirming(&self, n: usize) -> Vec<Purchase> {
        engine::Harness::confirming(&self.sound, n).await
    }

    async fn refusing(&self, n: usize) -> Vec<Purchase> {
        engine::Harness::refusing(&self.sound, n).await
    }

    fn altered(&self, purchase: &Purchase) -> Purchase {
        engine::Harness::altered(&self.sound, purchase)
    }

    async fn effects(&self, purchase: &Purchase) -> Vec<Effect> {
        self.sound.effects_of(purchase).await
    }

    async fn make_due(&self) {
        self.sound.make_all_due().await;
    }

    async fn make_overdue(&self, purchase: &Purchase) {
        engine::Harness::make_overdue(&self.sound, purchase).await;
    }
}

const DEFECTS: [Defect; 5] = [
    Defect::NoTombstone,
    Defect::TryForgets,
    Defect::SkippedTryIsSuccess,
    Defect::ConfirmIsBlind,
    Defect::CancelIsBlind,
];

#[tokio::test]
async fn every_known_defect_of_a_participant_is_caught() {
    for defect in DEFECTS {
        let harness = DefectiveHarness::new(TestHarness::new(Databases::create().await), defect);
        let broken = participant::run_all(&harness).await;
        assert!(broken.is_err(), "{defect:?} passed the kit");
        harness.sound.databases.drop_all().await;
    }
}

#[tokio::test]
async fn defects_that_show_in_whole_transactions_are_caught_there_too() {
    for defect in [
        Defect::TryForgets,
        Defect::ConfirmIsBlind,
        Defect::CancelIsBlind,
    ] {
        let harness = DefectiveHarness::new(TestHarness::new(Databases::create().await), defect);
        let broken = engine::run_all(&harness).await;
        assert!(broken.is_err(), "{defect:?} passed the kit");
        harness.sound.databases.drop_all().await;
    }
}
