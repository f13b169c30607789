//! Runs a participant's operations as the coordinator does, and as a coordinator does that loses
//! its connection at COMMIT.

use crate::operations::{Cancel, Confirm, Try};
use crate::set::{SetFault, SetOperation, SetRunner};
use crate::{Branch, CoordinatorSettings, FinishOutcome, Participant, Pass, Shards, TryOutcome};
use sqlx::Connection;

/// A participant, and the shards to run it on.
pub(super) struct Bench<'a, P> {
    participant: &'a P,
    shards: Shards,
    runner: SetRunner,
}

/// When the connection is lost.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lost {
    /// Before the server took the COMMIT: nothing happened.
    BeforeCommit,
    /// After: everything happened, and nobody heard.
    AfterCommit,
}

/// Which operation to run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Try,
    Confirm,
    Cancel,
}

impl<'a, P: Participant> Bench<'a, P> {
    pub(super) fn new(participant: &'a P, shards: Shards) -> Self {
        let runner = SetRunner::new(shards.clone(), CoordinatorSettings::default());
        Self {
            participant,
            shards,
            runner,
        }
    }

    pub(super) async fn try_reserve(
        &self,
        branches: &[Branch<P::Payload>],
    ) -> Result<Vec<TryOutcome>, String> {
        self.run(&Try(self.participant), branches).await
    }

    pub(super) async fn confirm(
        &self,
        branches: &[Branch<P::Payload>],
    ) -> Result<Vec<FinishOutcome>, String> {
        self.run(&Confirm(self.participant), branches).await
    }

    pub(super) async fn cancel(
        &self,
        branches: &[Branch<P::Payload>],
    ) -> Result<Vec<FinishOutcome>, String> {
        self.run(&Cancel(self.participant), branches).await
    }

    async fn run<O: SetOperation<Item = Branch<P::Payload>>>(
        &self,
        operation: &O,
        branches: &[Branch<P::Payload>],
    ) -> Result<Vec<O::Answer>, String> {
        let Some(first) = branches.first() else {
            return Ok(Vec::new());
        };
        let answers = self.runner.run(first.shard, operation, branches).await;
        answers
            .into_iter()
            .collect::<Result<_, SetFault>>()
            .map_err(|fault| fault.to_string())
    }

    /// Runs an operation whose answer is never heard.
    pub(super) async fn run_unheard(
        &self,
        phase: Phase,
        branches: &[Branch<P::Payload>],
        lost: Lost,
    ) -> Result<(), String> {
        let Some(first) = branches.first() else {
            return Ok(());
        };
        let pool = &self.shards.get(first.shard).pool;
        let mut conn = pool
            .acquire()
            .await
            .map_err(|error| error.to_string())?
            .detach();
        let mut sql = conn.begin().await.map_err(|error| error.to_string())?;
        let ran = match phase {
            Phase::Try => self
                .participant
                .try_reserve(&mut sql, branches, Pass::First)
                .await
                .map(drop),
            Phase::Confirm => self
                .participant
                .confirm(&mut sql, branches, Pass::First)
                .await
                .map(drop),
            Phase::Cancel => self
                .participant
                .cancel(&mut sql, branches, Pass::First)
                .await
                .map(drop),
        };
        ran.map_err(|fault| fault.to_string())?;
        match lost {
            Lost::BeforeCommit => drop(sql),
            Lost::AfterCommit => sql.commit().await.map_err(|error| error.to_string())?,
        }
        // Closed without another word, as a cut connection is.
        drop(conn);
        Ok(())
    }
}
