//! The checks of a participant.

use super::bench::{Bench, Lost, Phase};
use super::participant::Harness;
use super::{Checked, Effect, expect};
use crate::{Branch, FinishOutcome, Participant, TryOutcome};
use futures_util::future::join_all;

type Payload<H> = <<H as Harness>::Participant as Participant>::Payload;

/// A harness with what runs its operations.
pub(super) struct Kit<'a, H: Harness> {
    pub(super) harness: &'a H,
    pub(super) bench: Bench<'a, H::Participant>,
}

impl<H: Harness> Kit<'_, H> {
    pub(super) async fn each_phase_repeated(&self) -> Checked {
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

    pub(super) async fn confirm_twice_at_once(&self) -> Checked {
        let branches = self.harness.ready(20).await;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        let both = join_all([self.confirms(&branches), self.confirms(&branches)]).await;
        both.into_iter().collect::<Checked>()?;
        self.effects("confirmed twice", &branches, Effect::SETTLED)
            .await
    }

    pub(super) async fn cancel_after_confirm(&self) -> Checked {
        let branches = self.harness.ready(3).await;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        self.confirms(&branches).await?;
        let outcomes = self.bench.cancel(&branches).await?;
        all_breach("cancelled after confirm", &outcomes)?;
        self.effects("cancelled after confirm", &branches, Effect::SETTLED)
            .await
    }

    pub(super) async fn one_bad_branch_in_a_batch(&self) -> Checked {
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

    pub(super) async fn old_and_new_in_a_batch(&self) -> Checked {
        let branches = self.harness.ready(8).await;
        let old: Vec<_> = branches.iter().step_by(2).cloned().collect();
        self.tries(&old, &TryOutcome::Reserved).await?;
        self.tries(&branches, &TryOutcome::Reserved).await?;
        self.effects("tried", &branches, self.after_try()).await?;
        self.confirms(&old).await?;
        self.confirms(&branches).await?;
        self.effects("confirmed", &branches, Effect::SETTLED).await
    }

    pub(super) async fn connection_lost_at_commit(&self, lost: Lost) -> Checked {
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

    pub(super) async fn cancel_before_try(&self) -> Checked {
        let branches = self.harness.ready(4).await;
        self.cancels(&branches).await?;
        self.effects("cancelled before try", &branches, Effect::NONE)
            .await?;
        self.cancels(&branches).await
    }

    pub(super) async fn late_try(&self) -> Checked {
        let branches = self.harness.ready(4).await;
        self.cancels(&branches).await?;
        for _ in 0..3 {
            self.tries(&branches, &TryOutcome::CancelledBefore).await?;
            self.effects("tried late", &branches, Effect::NONE).await?;
        }
        self.cancels(&branches).await
    }

    pub(super) async fn try_and_cancel_at_once(&self, rounds: usize) -> Checked {
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

    pub(super) async fn two_cancels_at_once(&self, rounds: usize) -> Checked {
        for _ in 0..rounds {
            let branches = self.harness.ready(3).await;
            let both = join_all([self.cancels(&branches), self.cancels(&branches)]).await;
            both.into_iter().collect::<Checked>()?;
            self.tries(&branches, &TryOutcome::CancelledBefore).await?;
        }
        Ok(())
    }

    pub(super) async fn confirm_after_cancel(&self) -> Checked {
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

    pub(super) async fn confirm_without_try(&self) -> Checked {
        let branches = self.harness.ready(3).await;
        all_breach("confirmed untried", &self.bench.confirm(&branches).await?)?;
        self.effects("confirmed untried", &branches, Effect::NONE)
            .await
    }

    pub(super) async fn refused_is_never_confirmed(&self) -> Checked {
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

    pub(super) async fn another_payload(&self) -> Checked {
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
