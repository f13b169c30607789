//! What a coordinator must do on any log and any participant: also the test of both together.

use super::engine_checks::{Kit, ROUNDS};
use super::{Broken, Effect, named};
use crate::{Participant, Shards, TransactionLog};
use std::future::Future;

/// What a test provides: databases of its own, where nothing else is open, and records.
pub trait Harness: Sync {
    /// The log.
    type Log: TransactionLog<Payload = <Self::Participant as Participant>::Payload>;
    /// The participant.
    type Participant: Participant;

    /// A log on these databases.
    fn log(&self) -> Self::Log;

    /// A participant on these databases.
    fn participant(&self) -> Self::Participant;

    /// The databases.
    fn shards(&self) -> Shards;

    /// So many new records, spread over all shards, whose branches will all reserve. Each has
    /// branches on two shards where it can.
    fn confirming(
        &self,
        n: usize,
    ) -> impl Future<Output = Vec<<Self::Log as TransactionLog>::Record>> + Send;

    /// So many new records of which one branch will be refused.
    fn refusing(
        &self,
        n: usize,
    ) -> impl Future<Output = Vec<<Self::Log as TransactionLog>::Record>> + Send;

    /// A record of the same xid that says something else.
    fn altered(
        &self,
        record: &<Self::Log as TransactionLog>::Record,
    ) -> <Self::Log as TransactionLog>::Record;

    /// What each branch of the record has done, in the order of their numbers.
    fn effects(
        &self,
        record: &<Self::Log as TransactionLog>::Record,
    ) -> impl Future<Output = Vec<Effect>> + Send;

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
    let kit = Kit { harness };
    named("a mixed batch ends as one by one", kit.mixed_batch().await)?;
    named(
        "duplicates in a batch count once",
        kit.duplicates_in_a_batch().await,
    )?;
    named(
        "a record that says something else is dead",
        kit.conflicting_records().await,
    )?;
    for round in ROUNDS {
        named(
            "redelivery after a crash goes on",
            kit.redelivery_after(round).await,
        )?;
        named(
            "a sweeper finishes what was left",
            kit.sweep_after(round).await,
        )?;
        named(
            "a coordinator that wakes does no harm",
            kit.wakes_after(round).await,
        )?;
    }
    named(
        "two coordinators at once equal one",
        kit.two_at_once().await,
    )?;
    named(
        "a deadline that passed cancels",
        kit.overdue_is_cancelled().await,
    )?;
    named(
        "two sweepers and a redelivery at once",
        kit.sweepers_and_redelivery().await,
    )
}
