//! What every participant must pass.

use super::bench::{Bench, Lost, Phase};
use super::{Broken, Checked, Effect, expect, named};
use crate::{Branch, FinishOutcome, Participant, Shards, TryOutcome};
use futures_util::future::join_all;
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

type Payload<H> = <<H as Harness>::Participant as Participant>::Payload;

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

struct Kit<'a, H: Harness> {
    harness: &'a H,
    bench: Bench<'a, H::Participant>,
}

impl<H: Harness> Kit<'_, H> {
    async fn each_phase_repeated(&self) -> Checked {
        let kept = self.harness.ready(5).await;
        let dropped = self.harness.ready(5).await;
        for _ in 0..3 {
            self.tries(&kept, &TryOutcome::Reserved).await?;
            self.tries(&dropped, &TryOutcome::Reserved).await?;
            self.effects("tried", &kept, self.after_try()).await?;
        }
        for _ in 0..3 {
            self.confirms(&kept).await?;
            self.cancels(&dropped).await?;
            self.effects("confirmed", &kept, Effect::SETTLED).await?;
            self.effects("cancelled", &dropped, Effect::NONE).await?;
        }
        // A try that comes once more after the end changes nothing, whatever it answers.
        self.bench.try_reserve(&kept).await?;
        self.effects("tried after its confirm", &kept, Effect::SETTLED)
            .await?;
        if !self.harness.is_confirm_only() {
            self.tries(&dropped, &TryOutcome::CancelledBefore).await?;
        }
        self.effects("tried after its cancel", &dropped, Effect::NONE)
            .await
    }

    async fn confirm_twice_at_once(&self) -> Checked {
        let branches = self.harness.ready(20).await;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        let both = join_all([self.confirms(&branches), self.confirms(&branches)]).await;
        both.into_iter().collect::<Checked>()?;
        self.effects("confirmed twice", &branches, Effect::SETTLED)
            .await
    }

    async fn cancel_after_confirm(&self) -> Checked {
        let branches = self.harness.ready(3).await;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        self.confirms(&branches).await?;
        let outcomes = self.bench.cancel(&branches).await?;
        all_breach("cancelled after confirm", &outcomes)?;
        self.effects("cancelled after confirm", &branches, Effect::SETTLED)
            .await
    }

    async fn one_bad_branch_in_a_batch(&self) -> Checked {
        let good = self.harness.ready(6).await;
        let bad = self.harness.refusing().await;
        let mut batch = good.clone();
        batch.push(bad.clone());
        batch.sort_unstable_by_key(|branch| (branch.xid, branch.number));
        for _ in 0..2 {
            for (branch, outcome) in batch.iter().zip(self.bench.try_reserve(&batch).await?) {
                let refused = matches!(outcome, TryOutcome::Refused(_));
                expect(
                    "refused",
                    (branch.xid, refused),
                    (branch.xid, branch.xid == bad.xid),
                )?;
            }
        }
        self.effects("the good ones", &good, self.after_try())
            .await?;
        self.effects("the bad one", &[bad], Effect::NONE).await
    }

    async fn old_and_new_in_a_batch(&self) -> Checked {
        let branches = self.harness.ready(8).await;
        let old: Vec<_> = branches.iter().step_by(2).cloned().collect();
        self.tries(&old, &TryOutcome::Reserved).await?;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        self.effects("tried", &branches, self.after_try()).await?;
        self.confirms(&old).await?;
        self.confirms(&branches).await?;
        self.effects("confirmed", &branches, Effect::SETTLED).await
    }

    async fn connection_lost_at_commit(&self, lost: Lost) -> Checked {
        let kept = self.harness.ready(4).await;
        let dropped = self.harness.ready(4).await;
        for branches in [&kept, &dropped] {
            self.bench.run_unheard(Phase::Try, branches, lost).await?;
            self.tries(branches, &TryOutcome::Reserved).await?;
            self.effects("tried", branches, self.after_try()).await?;
        }
        self.bench.run_unheard(Phase::Confirm, &kept, lost).await?;
        self.confirms(&kept).await?;
        self.effects("confirmed", &kept, Effect::SETTLED).await?;
        self.bench
            .run_unheard(Phase::Cancel, &dropped, lost)
            .await?;
        self.cancels(&dropped).await?;
        self.effects("cancelled", &dropped, Effect::NONE).await
    }

    async fn cancel_before_try(&self) -> Checked {
        let branches = self.harness.ready(4).await;
        self.cancels(&branches).await?;
        self.effects("cancelled before try", &branches, Effect::NONE)
            .await?;
        self.cancels(&branches).await
    }

    async fn late_try(&self) -> Checked {
        let branches = self.harness.ready(4).await;
        self.cancels(&branches).await?;
        for _ in 0..3 {
            self.tries(&branches, &TryOutcome::CancelledBefore).await?;
            self.effects("tried late", &branches, Effect::NONE).await?;
        }
        self.cancels(&branches).await
    }

    async fn try_and_cancel_at_once(&self, rounds: usize) -> Checked {
        for branch in self.harness.ready(rounds).await {
            let branches = [branch];
            let (tried, cancelled) = tokio::join!(
                self.bench.try_reserve(&branches),
                self.bench.cancel(&branches)
            );
            expect("the cancel", cancelled?, vec![FinishOutcome::Done])?;
            let tried = tried?;
            let legal = [[TryOutcome::Reserved], [TryOutcome::CancelledBefore]];
            if !legal.iter().any(|outcome| tried == outcome) {
                return Err(format!("the try: {tried:?}"));
            }
            self.effects("after both", &branches, Effect::NONE).await?;
            self.tries(&branches, &TryOutcome::CancelledBefore).await?;
        }
        Ok(())
    }

    async fn two_cancels_at_once(&self, rounds: usize) -> Checked {
        for _ in 0..rounds {
            let branches = self.harness.ready(3).await;
            let both = join_all([self.cancels(&branches), self.cancels(&branches)]).await;
            both.into_iter().collect::<Checked>()?;
            self.tries(&branches, &TryOutcome::CancelledBefore).await?;
        }
        Ok(())
    }

    async fn confirm_after_cancel(&self) -> Checked {
        let branches = self.harness.ready(3).await;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        self.cancels(&branches).await?;
        all_breach(
            "confirmed after cancel",
            &self.bench.confirm(&branches).await?,
        )?;
        self.effects("confirmed after cancel", &branches, Effect::NONE)
            .await
    }

    async fn confirm_without_try(&self) -> Checked {
        let branches = self.harness.ready(3).await;
        all_breach("confirmed untried", &self.bench.confirm(&branches).await?)?;
        self.effects("confirmed untried", &branches, Effect::NONE)
            .await
    }

    async fn refused_is_never_confirmed(&self) -> Checked {
        let branches = [self.harness.refusing().await];
        self.bench.try_reserve(&branches).await?;
        all_breach("confirmed refused", &self.bench.confirm(&branches).await?)?;
        self.cancels(&branches).await?;
        all_breach(
            "confirmed refused and cancelled",
            &self.bench.confirm(&branches).await?,
        )?;
        self.effects("refused", &branches, Effect::NONE).await
    }

    async fn another_payload(&self) -> Checked {
        let branches = self.harness.ready(1).await;
        let altered: Vec<_> = branches
            .iter()
            .filter_map(|branch| self.harness.altered(branch))
            .collect();
        if altered.is_empty() {
            return Ok(());
        }
        self.tries(&branches, &TryOutcome::Reserved).await?;
        for _ in 0..2 {
            let outcomes = self.bench.try_reserve(&altered).await?;
            if !outcomes
                .iter()
                .all(|outcome| matches!(outcome, TryOutcome::Mismatch(_)))
            {
                return Err(format!("tried with another payload: {outcomes:?}"));
            }
        }
        self.effects("the first", &branches, Effect::RESERVED)
            .await?;
        self.confirms(&branches).await?;
        self.effects("the first", &branches, Effect::SETTLED).await
    }

    fn after_try(&self) -> Effect {
        if self.harness.is_confirm_only() {
            Effect::NONE
        } else {
            Effect::RESERVED
        }
    }

    async fn tries(&self, branches: &[Branch<Payload<H>>], wanted: &TryOutcome) -> Checked {
        let outcomes = self.bench.try_reserve(branches).await?;
        expect("try", outcomes, vec![wanted.clone(); branches.len()])
    }

    async fn confirms(&self, branches: &[Branch<Payload<H>>]) -> Checked {
        let outcomes = self.bench.confirm(branches).await?;
        expect(
            "confirm",
            outcomes,
            vec![FinishOutcome::Done; branches.len()],
        )
    }

    async fn cancels(&self, branches: &[Branch<Payload<H>>]) -> Checked {
        let outcomes = self.bench.cancel(branches).await?;
        expect(
            "cancel",
            outcomes,
            vec![FinishOutcome::Done; branches.len()],
        )
    }

    async fn effects(
        &self,
        when: &str,
        branches: &[Branch<Payload<H>>],
        wanted: Effect,
    ) -> Checked {
        for branch in branches {
            expect(when, self.harness.effect(branch).await, wanted)?;
        }
        Ok(())
    }
}

fn all_breach(when: &str, outcomes: &[FinishOutcome]) -> Checked {
    let breach = |outcome: &FinishOutcome| matches!(outcome, FinishOutcome::Breach(_));
    if outcomes.iter().all(breach) {
        Ok(())
    } else {
        Err(format!("{when}: {outcomes:?}"))
    }
}
