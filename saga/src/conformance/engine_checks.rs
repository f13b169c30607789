//! The checks of a coordinator.

use super::engine::Harness;
use super::{Checked, Effect, expect};
use crate::batch::Batch;
use crate::faults::Faults;
use crate::flight::Stage;
use crate::{
    Answer, Coordinator, CoordinatorSettings, Outcome, Participant, Sweeper, SweeperSettings,
    TransactionLog,
};
use futures_util::future::join_all;
use std::sync::Arc;

type Record<H> = <<H as Harness>::Log as TransactionLog>::Record;
type CoordinatorOf<H> = Coordinator<<H as Harness>::Log, <H as Harness>::Participant>;

/// After which round a coordinator stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Round {
    Log,
    Try,
    Decide,
    Finish,
    End,
}

/// In order.
pub(super) const ROUNDS: [Round; 5] = [
    Round::Log,
    Round::Try,
    Round::Decide,
    Round::Finish,
    Round::End,
];

/// A harness with what runs its operations.
pub(super) struct Kit<'a, H: Harness> {
    pub(super) harness: &'a H,
}

impl<H: Harness> Kit<'_, H> {
    pub(super) async fn mixed_batch(&self) -> Checked {
        let (good, bad) = self.records(20, 6).await;
        let mut batch: Vec<Record<H>> = good.clone();
        batch.splice(3..3, bad.iter().cloned());
        let answers = self.coordinator().run(batch).await;
        let cancelled = |answer: &Answer| {
            matches!(
                answer,
                Answer::Done {
                    outcome: Outcome::Cancelled,
                    reason: Some(_)
                }
            )
        };
        expect(
            "the refused",
            answers[3..9]
                .iter()
                .filter(|answer| cancelled(answer))
                .count(),
            6,
        )?;
        let confirmed = Answer::Done {
            outcome: Outcome::Confirmed,
            reason: None,
        };
        expect(
            "the good",
            answers
                .iter()
                .filter(|answer| **answer == confirmed)
                .count(),
            20,
        )?;
        self.ended(&good, &bad).await
    }

    pub(super) async fn duplicates_in_a_batch(&self) -> Checked {
        let (good, bad) = self.records(4, 2).await;
        let once: Vec<Record<H>> = good.iter().chain(&bad).cloned().collect();
        let batch: Vec<Record<H>> = once.iter().chain(&once).chain(&good).cloned().collect();
        let answers = self.coordinator().run(batch).await;
        expect("the answers", &answers[..6], &answers[6..12])?;
        expect("the answers", &answers[..4], &answers[12..])?;
        self.ended(&good, &bad).await
    }

    pub(super) async fn conflicting_records(&self) -> Checked {
        let (good, _) = self.records(3, 0).await;
        let mut batch = good.clone();
        batch.push(self.harness.altered(&good[1]));
        batch.push(good[1].clone());
        for _ in 0..2 {
            let answers = self.coordinator().run(batch.clone()).await;
            expect(
                "the later one dead",
                matches!(answers[3], Answer::Dead { .. }),
                true,
            )?;
            expect("the first one again", &answers[4], &answers[1])?;
        }
        let late = self
            .coordinator()
            .run(vec![self.harness.altered(&good[0])])
            .await;
        expect(
            "in a later batch dead",
            matches!(late[0], Answer::Dead { .. }),
            true,
        )?;
        self.ended(&good, &[]).await
    }

    pub(super) async fn redelivery_after(&self, round: Round) -> Checked {
        let (good, bad) = self.records(6, 3).await;
        self.crash_after(round, &good, &bad).await;
        let batch: Vec<_> = good.iter().chain(&bad).cloned().collect();
        for answer in self.coordinator().run(batch).await {
            expect("done", matches!(answer, Answer::Done { .. }), true)?;
        }
        self.ended(&good, &bad).await
    }

    pub(super) async fn sweep_after(&self, round: Round) -> Checked {
        let (good, bad) = self.records(6, 3).await;
        self.crash_after(round, &good, &bad).await;
        self.harness.make_due().await;
        let report = self.sweeper().sweep_once().await;
        let open = if round == Round::End { 0 } else { 9 };
        expect("swept", (report.claimed, report.ended), (open, open))?;
        self.ended(&good, &bad).await
    }

    pub(super) async fn wakes_after(&self, round: Round) -> Checked {
        let (good, bad) = self.records(6, 3).await;
        let sleeper = self.coordinator();
        let mut asleep = self.begin_run(&sleeper, round, &good, &bad).await;
        let batch = good.iter().chain(&bad).cloned().collect();
        self.coordinator().run(batch).await;
        self.go_on(&sleeper, &mut asleep, round).await;
        for flight in &asleep.flights {
            let done = matches!(flight.stage, Stage::Over(Answer::Done { .. }));
            expect("the sleeper ends as the other", done, true)?;
        }
        self.ended(&good, &bad).await
    }

    pub(super) async fn two_at_once(&self) -> Checked {
        for _ in 0..5 {
            let (good, bad) = self.records(20, 5).await;
            let batch: Vec<_> = good.iter().chain(&bad).cloned().collect();
            let (one, other) = (self.coordinator(), self.coordinator());
            let answers = tokio::join!(one.run(batch.clone()), other.run(batch));
            expect("the answers", &answers.0, &answers.1)?;
            self.ended(&good, &bad).await?;
        }
        Ok(())
    }

    pub(super) async fn overdue_is_cancelled(&self) -> Checked {
        let (records, _) = self.records(4, 0).await;
        self.crash_after(Round::Log, &records[..2], &[]).await;
        self.crash_after(Round::Try, &records[2..], &[]).await;
        for record in &records {
            self.harness.make_overdue(record).await;
        }
        self.harness.make_due().await;
        let report = self.sweeper().sweep_once().await;
        expect("swept", (report.claimed, report.ended), (4, 4))?;
        self.ended(&[], &records).await
    }

    pub(super) async fn sweepers_and_redelivery(&self) -> Checked {
        for round in [Round::Log, Round::Try, Round::Decide] {
            let (good, bad) = self.records(20, 5).await;
            self.crash_after(round, &good, &bad).await;
            self.harness.make_due().await;
            let batch: Vec<_> = good.iter().chain(&bad).cloned().collect();
            let (redelivered, one, other) = (self.coordinator(), self.sweeper(), self.sweeper());
            tokio::join!(
                redelivered.run(batch.clone()),
                one.sweep_once(),
                other.sweep_once()
            );
            self.harness.make_due().await;
            self.sweeper().sweep_once().await;
            self.ended(&good, &bad).await?;
        }
        Ok(())
    }

    async fn records(&self, good: usize, bad: usize) -> (Vec<Record<H>>, Vec<Record<H>>) {
        (
            self.harness.confirming(good).await,
            self.harness.refusing(bad).await,
        )
    }

    fn coordinator(&self) -> CoordinatorOf<H> {
        let settings = CoordinatorSettings::default();
        let (log, participant) = (self.harness.log(), self.harness.participant());
        Coordinator::new(log, participant, self.harness.shards(), settings)
            .with_faults(Faults::default())
    }

    fn sweeper(&self) -> Sweeper<H::Log, H::Participant> {
        let settings = SweeperSettings {
            page_max: 4,
            ..SweeperSettings::default()
        };
        Sweeper::new(Arc::new(self.coordinator()), settings)
    }

    /// Leaves the records as a coordinator does that dies after this round.
    async fn crash_after(&self, round: Round, good: &[Record<H>], bad: &[Record<H>]) {
        self.begin_run(&self.coordinator(), round, good, bad).await;
    }

    async fn begin_run(
        &self,
        coordinator: &CoordinatorOf<H>,
        last: Round,
        good: &[Record<H>],
        bad: &[Record<H>],
    ) -> BatchOf<H> {
        let records = good.iter().chain(bad).cloned();
        let mut batch = Batch::of_records(&coordinator.log, records);
        for round in ROUNDS.into_iter().filter(|round| *round <= last) {
            run_round(coordinator, &mut batch, round).await;
        }
        batch
    }

    async fn go_on(&self, coordinator: &CoordinatorOf<H>, batch: &mut BatchOf<H>, last: Round) {
        for round in ROUNDS.into_iter().filter(|round| *round > last) {
            run_round(coordinator, batch, round).await;
        }
    }

    /// Every good record is confirmed, every bad one cancelled, in its branches and in the log,
    /// and a sweeper finds nothing.
    async fn ended(&self, good: &[Record<H>], bad: &[Record<H>]) -> Checked {
        let confirmed = good
            .iter()
            .map(|record| (record, Effect::SETTLED, Outcome::Confirmed));
        let cancelled = bad
            .iter()
            .map(|record| (record, Effect::NONE, Outcome::Cancelled));
        let seen = confirmed
            .chain(cancelled)
            .map(async |(record, effect, outcome)| {
                let effects = self.harness.effects(record).await;
                let wanted = vec![effect; effects.len()];
                expect("effects", effects, wanted)?;
                match self
                    .coordinator()
                    .run(vec![record.clone()])
                    .await
                    .as_slice()
                {
                    [
                        Answer::Done {
                            outcome: logged, ..
                        },
                    ] => expect("the log", *logged, outcome),
                    other => Err(format!("the log: {other:?}")),
                }
            });
        join_all(seen).await.into_iter().collect::<Checked>()?;
        self.harness.make_due().await;
        expect(
            "left to sweep",
            self.sweeper().sweep_once().await.claimed,
            0,
        )
    }
}

type BatchOf<H> = Batch<Record<H>, <<H as Harness>::Log as TransactionLog>::Payload>;

async fn run_round<L, P>(
    coordinator: &Coordinator<L, P>,
    batch: &mut Batch<L::Record, L::Payload>,
    round: Round,
) where
    L: TransactionLog<Payload = P::Payload>,
    P: Participant,
{
    match round {
        Round::Log => coordinator.log_round(batch).await,
        Round::Try => coordinator.try_round(batch).await,
        Round::Decide => coordinator.decide_round(batch).await,
        Round::Finish => coordinator.finish_round(batch).await,
        Round::End => coordinator.end_round(batch).await,
    }
}
