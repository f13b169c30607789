//! A log's harness, and the log's operations on it: each as the coordinator and the sweeper run them.

use super::Checked;
use super::log::Harness;
use crate::operations::{Begin, Claim, CountStuck, Decide, End, PageSize, Postpone, ToDecide};
use crate::set::{SetFault, SetOperation, SetRunner};
use crate::{
    Begun, Claimed, Decision, Ending, Outcome, Postponement, State, TransactionLog, Verdict, Xid,
};
use std::time::Duration;

type Record<H> = <<H as Harness>::Log as TransactionLog>::Record;

/// A harness with what runs its operations.
pub(super) struct Kit<'a, H: Harness> {
    pub(super) harness: &'a H,
    pub(super) runner: SetRunner,
}

/// Longer than any check takes.
pub(super) const LEASE: Duration = Duration::from_secs(600);

impl<H: Harness> Kit<'_, H> {
    /// A record's name.
    pub(super) fn xid(&self, record: &Record<H>) -> Xid {
        self.harness.log().xid(record)
    }

    /// Round 1.
    pub(super) async fn begin(&self, records: &[Record<H>]) -> Result<Vec<Begun>, String> {
        self.run(&Begin(self.harness.log()), records, records).await
    }

    /// Decides, and reads where it stands then.
    pub(super) async fn decide(
        &self,
        records: &[Record<H>],
        verdict: Verdict,
    ) -> Result<Vec<Begun>, String> {
        let to_decide = |(record, of): (usize, &Record<H>)| ToDecide {
            record,
            decision: Some(Decision {
                xid: self.xid(of),
                verdict,
            }),
        };
        let items: Vec<ToDecide> = records.iter().enumerate().map(to_decide).collect();
        self.run(
            &Decide {
                log: self.harness.log(),
                records,
            },
            records,
            &items,
        )
        .await
    }

    /// Round 5.
    pub(super) async fn end(
        &self,
        records: &[Record<H>],
        outcome: Outcome,
    ) -> Result<Vec<State>, String> {
        let ending = |record: &Record<H>| Ending {
            xid: self.xid(record),
            outcome,
        };
        let items: Vec<Ending> = records.iter().map(ending).collect();
        self.run(&End(self.harness.log()), records, &items).await
    }

    /// Ends what is still open, so that the next check starts alone.
    pub(super) async fn finish(&self, records: &[Record<H>]) -> Checked {
        self.decide(records, Verdict::Confirm).await?;
        self.end(records, Outcome::Confirmed).await?;
        self.end(records, Outcome::Cancelled).await.map(drop)
    }

    /// Moves when they are due, with a cause that is too long to keep.
    pub(super) async fn postpone(&self, records: &[Record<H>], delay: Duration) -> Checked {
        let of = |record: &Record<H>| {
            let cause = "a check ".repeat(100);
            Postponement {
                xid: self.xid(record),
                delay,
                cause,
            }
        };
        let items: Vec<Postponement> = records.iter().map(of).collect();
        self.run(&Postpone(self.harness.log()), records, &items)
            .await
            .map(drop)
    }

    /// A page of every shard.
    pub(super) async fn claim(&self, limit: u32) -> Result<Vec<Claimed<Record<H>>>, String> {
        let log = self.harness.log();
        let mut claimed = Vec::new();
        for shard in log.shards() {
            let size = [PageSize {
                limit,
                lease: LEASE,
            }];
            let pages = self.runner.run(shard, &Claim { log, shard }, &size).await;
            for page in pages {
                claimed.extend(page.map_err(|fault| fault.to_string())?);
            }
        }
        Ok(claimed)
    }

    /// How many are open and were attempted so often, of every shard.
    pub(super) async fn count(&self, attempts: u32, rows_max: u32) -> Result<u64, String> {
        let log = self.harness.log();
        let mut count = 0;
        for shard in log.shards() {
            let operation = CountStuck {
                log,
                shard,
                rows_max,
            };
            for counted in self.runner.run(shard, &operation, &[attempts]).await {
                count += counted.map_err(|fault| fault.to_string())?;
            }
        }
        Ok(count)
    }

    async fn run<O: SetOperation>(
        &self,
        operation: &O,
        records: &[Record<H>],
        items: &[O::Item],
    ) -> Result<Vec<O::Answer>, String> {
        let Some(first) = records.first() else {
            return Ok(Vec::new());
        };
        let answers = self
            .runner
            .run(self.harness.log().shard(first), operation, items)
            .await;
        answers
            .into_iter()
            .collect::<Result<_, SetFault>>()
            .map_err(|fault| fault.to_string())
    }
}
