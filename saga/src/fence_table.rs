//! The engine's own fence, for participants whose reservation carries none: one row per branch,
//! written in the same SQL transaction as what the branch does.

use crate::fence::{Fence, OnCancel, OnConfirm, OnTry, on_cancel, on_confirm, on_try};
use crate::fences::{self, FenceRow, FoundFence};
use crate::{Branch, FinishOutcome, Participant, Pass, Reason, SqlFault, TryOutcome};
use sqlx::mysql::MySqlConnection;
use std::future::Future;

/// What a branch does, without any thought of repetition or order: the fence sees to it that each
/// branch is reserved at most once, and then settled or released at most once. Each operation takes
/// branches of one shard, sorted by (xid, number), in a number of statements that does not depend
/// on theirs.
pub trait Action: Send + Sync + 'static {
    /// What a branch carries.
    type Payload: Clone + Send + Sync + 'static;

    /// Differs when two payloads do.
    fn digest(&self, payload: &Self::Payload) -> [u8; 32];

    /// Reserves each branch, or refuses it for a reason; the answers stand in order.
    fn reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Self::Payload>],
    ) -> impl Future<Output = Result<Vec<Result<(), Reason>>, SqlFault>> + Send;

    /// Makes final what was reserved.
    fn settle(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Self::Payload>],
    ) -> impl Future<Output = Result<(), SqlFault>> + Send;

    /// Undoes what was reserved.
    fn release(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Self::Payload>],
    ) -> impl Future<Output = Result<(), SqlFault>> + Send;
}

/// A participant made of an action and the fence table.
#[derive(Debug, Clone)]
pub struct Fenced<A> {
    action: A,
}

impl<A: Action> Fenced<A> {
    /// Fences the action.
    pub fn new(action: A) -> Self {
        Self { action }
    }

    /// The action behind the fence.
    pub fn action(&self) -> &A {
        &self.action
    }

    /// Fences and reserves what nothing came for yet; the answers stand in order.
    async fn reserve_new(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<A::Payload>],
    ) -> Result<Vec<TryOutcome>, SqlFault> {
        if branches.is_empty() {
            return Ok(Vec::new());
        }
        fences::insert(conn, &self.rows(branches, Fence::Reserved)).await?;
        let answers = self.action.reserve(conn, branches).await?;
        let refusal = |(branch, answer): (_, &Result<(), Reason>)| match answer {
            Ok(()) => None,
            Err(reason) => Some(self.row(branch, Fence::Refused(*reason))),
        };
        let refused: Vec<_> = branches.iter().zip(&answers).filter_map(refusal).collect();
        if !refused.is_empty() {
            fences::change(conn, &refused).await?;
        }
        let outcome = |answer| match answer {
            Ok(()) => TryOutcome::Reserved,
            Err(reason) => TryOutcome::Refused(reason),
        };
        Ok(answers.into_iter().map(outcome).collect())
    }

    /// Locks the fences that are there; for each branch, where it stands and whether it was fenced
    /// for the same payload.
    async fn look(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<A::Payload>],
    ) -> Result<Vec<Option<Found>>, SqlFault> {
        let mut found = fences::lock(conn, &self.rows(branches, Fence::Reserved)).await?;
        let of_branch = |branch: &Branch<A::Payload>| {
            let FoundFence { fence, digest } =
                found.remove(&(branch.xid.0.to_vec(), branch.number))?;
            Some(Found {
                fence,
                same: digest == self.action.digest(&branch.payload),
            })
        };
        Ok(branches.iter().map(of_branch).collect())
    }

    /// Moves all from reserved, or none: where only some were, nobody can say which.
    async fn change_all(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<A::Payload>],
        fence: Fence,
    ) -> Result<(), SqlFault> {
        let changed = fences::change(conn, &self.rows(branches, fence)).await?;
        let asked = branches.len();
        if changed == asked as u64 {
            Ok(())
        } else {
            Err(SqlFault::Partial { changed, asked })
        }
    }

    fn rows(&self, branches: &[Branch<A::Payload>], fence: Fence) -> Vec<FenceRow> {
        branches
            .iter()
            .map(|branch| self.row(branch, fence))
            .collect()
    }

    fn row(&self, branch: &Branch<A::Payload>, fence: Fence) -> FenceRow {
        let digest = self.action.digest(&branch.payload);
        FenceRow {
            xid: branch.xid,
            branch: branch.number,
            digest,
            fence,
        }
    }
}

/// A branch's fence as it was found.
#[derive(Debug, Clone, Copy)]
struct Found {
    fence: Fence,
    /// Whether it was set for the same payload.
    same: bool,
}

const OTHER_PAYLOAD: &str = "the branch was fenced for another payload";

impl<A: Action> Participant for Fenced<A> {
    type Payload = A::Payload;

    async fn try_reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<A::Payload>],
        pass: Pass,
    ) -> Result<Vec<TryOutcome>, SqlFault> {
        if pass == Pass::First {
            return self.reserve_new(conn, branches).await;
        }
        let found = self.look(conn, branches).await?;
        let known = |found: &Option<Found>| match found {
            Some(Found { same: false, .. }) => Some(TryOutcome::Mismatch(OTHER_PAYLOAD.to_owned())),
            Some(Found { fence, same: true }) => answer_to_try(Some(*fence)),
            None => answer_to_try(None),
        };
        let mut answers: Vec<Option<TryOutcome>> = found.iter().map(known).collect();
        let is_new = |(_, answer): &(_, &Option<TryOutcome>)| answer.is_none();
        let new = branches.iter().zip(&answers).filter(is_new);
        let new: Vec<Branch<A::Payload>> = new.map(|(branch, _)| branch.clone()).collect();
        let reserved = self.reserve_new(conn, &new).await?;
        let open = answers.iter_mut().filter(|answer| answer.is_none());
        for (answer, outcome) in open.zip(reserved) {
            *answer = Some(outcome);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn confirm(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<A::Payload>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        let (settle, answers) = match pass {
            Pass::First => (branches.to_vec(), vec![FinishOutcome::Done; branches.len()]),
            Pass::Again => {
                let found = self.look(conn, branches).await?;
                let decide = |found: &Option<Found>| match found {
                    Some(Found { same: false, .. }) => {
                        OnConfirm::Answer(FinishOutcome::Breach(OTHER_PAYLOAD.to_owned()))
                    }
                    found => on_confirm(found.map(|found| found.fence)),
                };
                let decisions: Vec<OnConfirm> = found.iter().map(decide).collect();
                let settles = |decision: &OnConfirm| *decision == OnConfirm::Settle;
                let settle = those(branches, &decisions, settles);
                (
                    settle,
                    decisions.into_iter().map(answer_to_confirm).collect(),
                )
            }
        };
        if !settle.is_empty() {
            self.change_all(conn, &settle, Fence::Confirmed).await?;
            self.action.settle(conn, &settle).await?;
        }
        Ok(answers)
    }

    /// It looks first on either pass: what is cancelled is often refused or missing in part.
    async fn cancel(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<A::Payload>],
        _pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        let found = self.look(conn, branches).await?;
        let decide = |found: &Option<Found>| match found {
            Some(Found { same: false, .. }) => {
                OnCancel::Answer(FinishOutcome::Breach(OTHER_PAYLOAD.to_owned()))
            }
            found => on_cancel(found.map(|found| found.fence)),
        };
        let decisions: Vec<OnCancel> = found.iter().map(decide).collect();
        let bury = those(branches, &decisions, |decision| *decision == OnCancel::Bury);
        if !bury.is_empty() {
            fences::insert(conn, &self.rows(&bury, Fence::CancelledBeforeTry)).await?;
        }
        let release = those(branches, &decisions, |decision| {
            *decision == OnCancel::Release
        });
        if !release.is_empty() {
            self.change_all(conn, &release, Fence::Cancelled).await?;
            self.action.release(conn, &release).await?;
        }
        Ok(decisions.into_iter().map(answer_to_cancel).collect())
    }
}

fn those<P: Clone, D>(
    branches: &[Branch<P>],
    decisions: &[D],
    wanted: impl Fn(&D) -> bool,
) -> Vec<Branch<P>> {
    let pairs = branches
        .iter()
        .zip(decisions)
        .filter(|(_, decision)| wanted(decision));
    pairs.map(|(branch, _)| branch.clone()).collect()
}

fn answer_to_try(fence: Option<Fence>) -> Option<TryOutcome> {
    match on_try(fence) {
        OnTry::Reserve => None,
        OnTry::Answer(outcome) => Some(outcome),
    }
}

fn answer_to_confirm(decision: OnConfirm) -> FinishOutcome {
    match decision {
        OnConfirm::Settle => FinishOutcome::Done,
        OnConfirm::Answer(outcome) => outcome,
    }
}

fn answer_to_cancel(decision: OnCancel) -> FinishOutcome {
    match decision {
        OnCancel::Release | OnCancel::Bury => FinishOutcome::Done,
        OnCancel::Answer(outcome) => outcome,
    }
}
