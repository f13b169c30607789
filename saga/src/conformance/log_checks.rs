//! The checks of a log.

use super::log::Harness;
use super::log_kit::{Kit, LEASE};
use super::{Checked, expect};
use crate::{Begun, Claimed, Outcome, Reason, State, TransactionLog, Verdict, Xid};
use std::collections::HashSet;
use std::time::Duration;

impl<H: Harness> Kit<'_, H> {
    pub(super) async fn begins_once(&self) -> Checked {
        let records = self.harness.records(5).await;
        for _ in 0..3 {
            expect(
                "begun",
                self.begin(&records).await?,
                vec![stands(State::Trying, None); 5],
            )?;
        }
        self.finish(&records).await
    }

    pub(super) async fn first_record_stands(&self) -> Checked {
        let records = self.harness.records(1).await;
        self.begin(&records).await?;
        let altered = [self.harness.altered(&records[0])];
        expect(
            "same",
            self.harness.log().same(&records[0], &altered[0]),
            false,
        )?;
        expect(
            "same",
            self.harness.log().same(&records[0], &records[0]),
            true,
        )?;
        match self.begin(&altered).await?.as_slice() {
            [Begun::Conflict(_)] => {}
            other => return Err(format!("another record under one xid: {other:?}")),
        }
        expect(
            "first",
            self.begin(&records).await?,
            vec![stands(State::Trying, None)],
        )?;
        self.finish(&records).await
    }

    pub(super) async fn old_and_new(&self) -> Checked {
        let records = self.harness.records(6).await;
        let old: Vec<_> = records.iter().step_by(2).cloned().collect();
        self.begin(&old).await?;
        self.decide(&old, Verdict::Confirm).await?;
        let found = self.begin(&records).await?;
        for (place, begun) in found.into_iter().enumerate() {
            let state = if place.is_multiple_of(2) {
                State::Confirming
            } else {
                State::Trying
            };
            expect("begun", begun, stands(state, None))?;
        }
        self.finish(&records).await
    }

    pub(super) async fn first_decision_stands(&self) -> Checked {
        let records = self.harness.records(4).await;
        let (cancelled, confirmed) = records.split_at(2);
        let reason = self.harness.reason();
        self.begin(&records).await?;
        self.decide(cancelled, Verdict::Cancel(reason)).await?;
        self.decide(confirmed, Verdict::Confirm).await?;
        let cancelling = vec![stands(State::Cancelling, Some(reason)); 2];
        let confirming = vec![stands(State::Confirming, None); 2];
        let second = self.decide(cancelled, Verdict::Confirm).await?;
        expect("confirm after cancel", second, cancelling.clone())?;
        let second = self.decide(confirmed, Verdict::Cancel(reason)).await?;
        expect("cancel after confirm", second, confirming)?;
        self.finish(&records).await?;
        let ended = self.decide(cancelled, Verdict::Confirm).await?;
        expect(
            "confirm after the end",
            ended,
            vec![stands(State::Cancelled, Some(reason)); 2],
        )
    }

    pub(super) async fn only_decided_ends(&self) -> Checked {
        let records = self.harness.records(2).await;
        self.begin(&records).await?;
        let undecided = self.end(&records, Outcome::Confirmed).await?;
        expect(
            "end of what is undecided",
            undecided,
            vec![State::Trying; 2],
        )?;
        self.decide(&records, Verdict::Confirm).await?;
        let crossed = self.end(&records, Outcome::Cancelled).await?;
        expect(
            "cancelled end of a confirm",
            crossed,
            vec![State::Confirming; 2],
        )?;
        for _ in 0..2 {
            let ended = self.end(&records, Outcome::Confirmed).await?;
            expect("end", ended, vec![State::Confirmed; 2])?;
        }
        expect(
            "begun",
            self.begin(&records).await?,
            vec![stands(State::Confirmed, None); 2],
        )
    }

    pub(super) async fn overdue(&self) -> Checked {
        let records = self.harness.records(2).await;
        self.begin(&records).await?;
        self.harness.make_overdue(&records[0]).await;
        let overdue = |begun: &Begun| {
            matches!(
                begun,
                Begun::Logged {
                    overdue: Some(_),
                    ..
                }
            )
        };
        let late: Vec<bool> = self.begin(&records).await?.iter().map(overdue).collect();
        expect("overdue", late, vec![true, false])?;
        self.decide(&records, Verdict::Confirm).await?;
        let late: Vec<bool> = self.begin(&records).await?.iter().map(overdue).collect();
        expect("overdue once decided", late, vec![false, false])?;
        self.finish(&records).await
    }

    pub(super) async fn page_is_leased_once(&self) -> Checked {
        let records = self.harness.records(5).await;
        self.begin(&records).await?;
        expect("due at once", self.claim(10).await?.len(), 0)?;
        self.harness.make_due().await;
        let first = self.claim(3).await?;
        let second = self.claim(10).await?;
        expect("pages", (first.len(), second.len()), (3, 2))?;
        expect("leased again", self.claim(10).await?.len(), 0)?;
        let xids: HashSet<Xid> = first
            .iter()
            .chain(&second)
            .map(|c| self.xid(&c.record))
            .collect();
        expect(
            "claimed",
            xids,
            records.iter().map(|record| self.xid(record)).collect(),
        )?;
        for record in &records {
            let same = |claimed: &Claimed<_>| self.harness.log().same(&claimed.record, record);
            expect(
                "a record as it was",
                first.iter().chain(&second).any(same),
                true,
            )?;
        }
        self.harness.make_due().await;
        let again: Vec<u32> = self
            .claim(10)
            .await?
            .iter()
            .map(|claimed| claimed.attempts)
            .collect();
        expect("attempts before", again, vec![1; 5])?;
        expect("attempted twice", self.count(2, 100).await?, 5)?;
        expect("of the first", self.count(2, 3).await?, 3)?;
        expect("attempted thrice", self.count(3, 100).await?, 0)?;
        self.finish(&records).await?;
        expect("attempted and open", self.count(1, 100).await?, 0)?;
        self.harness.make_due().await;
        expect("due after their end", self.claim(10).await?.len(), 0)
    }

    pub(super) async fn two_sweepers(&self) -> Checked {
        let records = self.harness.records(20).await;
        self.begin(&records).await?;
        self.harness.make_due().await;
        let (one, other) = tokio::join!(self.claim(20), self.claim(20));
        let (one, other) = (one?, other?);
        let xids: HashSet<Xid> = one
            .iter()
            .chain(&other)
            .map(|c| self.xid(&c.record))
            .collect();
        expect("claimed twice", one.len() + other.len(), xids.len())?;
        let rest = self.claim(20).await?.len();
        expect("claimed in all", xids.len() + rest, records.len())?;
        self.finish(&records).await
    }

    pub(super) async fn postponement(&self) -> Checked {
        let records = self.harness.records(3).await;
        self.begin(&records).await?;
        self.postpone(&records[..2], Duration::ZERO).await?;
        self.postpone(&records[1..2], LEASE).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let due: Vec<Xid> = self
            .claim(10)
            .await?
            .iter()
            .map(|c| self.xid(&c.record))
            .collect();
        expect("due", due, vec![self.xid(&records[0])])?;
        self.finish(&records).await?;
        self.postpone(&records, Duration::ZERO).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        expect("due after their end", self.claim(10).await?.len(), 0)
    }
}

fn stands(state: State, reason: Option<Reason>) -> Begun {
    Begun::Logged {
        state,
        reason,
        overdue: None,
    }
}
