//! What every transaction log must pass.

use super::log_kit::Kit;
use super::{Broken, named};
use crate::set::SetRunner;
use crate::{CoordinatorSettings, Reason, Shards, TransactionLog};
use std::future::Future;

/// What a log's test provides: databases of its own, where nothing else is open, and records.
pub trait Harness: Sync {
    /// The log to test.
    type Log: TransactionLog;

    /// The log to test.
    fn log(&self) -> &Self::Log;

    /// Where it is run.
    fn shards(&self) -> Shards;

    /// So many new records of one shard, sorted by xid.
    fn records(
        &self,
        n: usize,
    ) -> impl Future<Output = Vec<<Self::Log as TransactionLog>::Record>> + Send;

    /// A record of the same xid that says something else.
    fn altered(
        &self,
        record: &<Self::Log as TransactionLog>::Record,
    ) -> <Self::Log as TransactionLog>::Record;

    /// A reason that the log can keep.
    fn reason(&self) -> Reason;

    /// Makes every open global transaction due for the sweeper.
    fn make_due(&self) -> impl Future<Output = ()> + Send;

    /// Puts the time by which the record's global transaction must be decided into the past.
    fn make_overdue(
        &self,
        record: &<Self::Log as TransactionLog>::Record,
    ) -> impl Future<Output = ()> + Send;
}

/// Runs every check, one after the other.
pub async fn run_all<H: Harness>(harness: &H) -> Result<(), Broken> {
    let runner = SetRunner::new(harness.shards(), CoordinatorSettings::default());
    let kit = Kit { harness, runner };
    named("a record begins once", kit.begins_once().await)?;
    named(
        "the first record of an xid stands",
        kit.first_record_stands().await,
    )?;
    named("old and new records in one set", kit.old_and_new().await)?;
    named(
        "the first decision stands",
        kit.first_decision_stands().await,
    )?;
    named("only what is decided ends", kit.only_decided_ends().await)?;
    named("what is undecided too long is overdue", kit.overdue().await)?;
    named("a page is leased once", kit.page_is_leased_once().await)?;
    named(
        "two sweepers take different pages",
        kit.two_sweepers().await,
    )?;
    named("a postponement keeps its time", kit.postponement().await)
}
