//! What every participant must pass.

use super::bench::{Bench, Lost};
use super::participant_checks::Kit;
use super::{Broken, Effect, named};
use crate::{Branch, Participant, Shards};
use std::future::Future;

/// What a participant's test provides: databases of its own, and branches.
pub trait Harness: Sync {
    /// Whom to test.
    type Participant: Participant;

    /// Whom to test.
    fn participant(&self) -> &Self::Participant;

    /// Where it is run.
    fn shards(&self) -> Shards;

    /// So many new branches of one shard, each of another global transaction, sorted by xid, that
    /// will reserve.
    fn ready(
        &self,
        n: usize,
    ) -> impl Future<Output = Vec<Branch<<Self::Participant as Participant>::Payload>>> + Send;

    /// A new branch of the same shard that will be refused.
    fn refusing(
        &self,
    ) -> impl Future<Output = Branch<<Self::Participant as Participant>::Payload>> + Send;

    /// The same branch, asking for something else. Nothing where the participant cannot tell before
    /// it confirms.
    fn altered(
        &self,
        branch: &Branch<<Self::Participant as Participant>::Payload>,
    ) -> Option<Branch<<Self::Participant as Participant>::Payload>>;

    /// What the branch has done to its store.
    fn effect(
        &self,
        branch: &Branch<<Self::Participant as Participant>::Payload>,
    ) -> impl Future<Output = Effect> + Send;

    /// Whether its try writes nothing and its confirm cannot be refused, such as a credit: then
    /// what a tombstone or a hold would do is not asked of it.
    fn is_confirm_only(&self) -> bool {
        false
    }
}

/// Runs every check that applies, one after the other.
pub async fn run_all<H: Harness>(harness: &H) -> Result<(), Broken> {
    let kit = Kit {
        harness,
        bench: Bench::new(harness.participant(), harness.shards()),
    };
    named(
        "each phase repeated does nothing more",
        kit.each_phase_repeated().await,
    )?;
    named(
        "confirm twice at once settles once",
        kit.confirm_twice_at_once().await,
    )?;
    named(
        "cancel after confirm is a breach",
        kit.cancel_after_confirm().await,
    )?;
    named(
        "one bad branch refuses alone",
        kit.one_bad_branch_in_a_batch().await,
    )?;
    named(
        "old and new branches in one batch",
        kit.old_and_new_in_a_batch().await,
    )?;
    for lost in [Lost::BeforeCommit, Lost::AfterCommit] {
        named(
            "connection lost at COMMIT",
            kit.connection_lost_at_commit(lost).await,
        )?;
    }
    if harness.is_confirm_only() {
        return Ok(());
    }
    named(
        "cancel before try leaves no hold",
        kit.cancel_before_try().await,
    )?;
    named("a late try is refused each time", kit.late_try().await)?;
    named(
        "try and cancel at the same instant",
        kit.try_and_cancel_at_once(100).await,
    )?;
    named(
        "two cancels of a missing row at once",
        kit.two_cancels_at_once(20).await,
    )?;
    named(
        "confirm after cancel is a breach",
        kit.confirm_after_cancel().await,
    )?;
    named(
        "confirm without try is a breach",
        kit.confirm_without_try().await,
    )?;
    named(
        "a refused branch can never be confirmed",
        kit.refused_is_never_confirmed().await,
    )?;
    named(
        "another payload is a mismatch, the first stands",
        kit.another_payload().await,
    )
}
