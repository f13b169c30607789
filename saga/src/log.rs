//! What the engine asks of its log: one row per global transaction, on a shard of its own choice.

use crate::{Branch, Outcome, Pass, Reason, ShardId, SqlFault, State, Verdict, Xid};
use sqlx::mysql::MySqlConnection;
use std::future::Future;
use std::time::Duration;

/// What the log says of a global transaction when asked to begin it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Its row is there, new or old, in this state.
    Logged {
        /// The state now.
        state: State,
        /// Why it is being or was cancelled.
        reason: Option<Reason>,
        /// Still trying, and by the database's clock too late to go on: cancel it for this reason.
        overdue: Option<Reason>,
    },
    /// A row of the same xid says something else; the first one stands.
    Conflict(String),
}

/// A decision to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Of which global transaction.
    pub xid: Xid,
    /// What was decided.
    pub verdict: Verdict,
}

/// An end to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Of which global transaction.
    pub xid: Xid,
    /// How it ended.
    pub outcome: Outcome,
}

/// An open global transaction that the sweeper has leased.
#[derive(Debug, Clone)]
pub struct Claimed<R> {
    /// The record, as if it had just been delivered.
    pub record: R,
    /// What the log says of it.
    pub begun: Begun,
    /// How often it was attempted before.
    pub attempts: u32,
}

/// An attempt that did not end its global transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponement {
    /// Of which global transaction.
    pub xid: Xid,
    /// How long until the sweeper may take it, by the database's clock.
    pub delay: Duration,
    /// Why this attempt did not end it, for people.
    pub cause: String,
}

/// The coordinator's log. Every operation takes rows of **one shard, each xid at most once, sorted
/// by xid**, inside the caller's SQL transaction, in a number of statements that does not depend
/// on the number of rows, and answers in the order it was asked.
pub trait TransactionLog: Send + Sync + 'static {
    /// What a global transaction is to the application.
    type Record: Clone + Send + Sync + 'static;
    /// What its branches carry.
    type Payload: Clone + Send + Sync + 'static;

    /// The record's name.
    fn xid(&self, record: &Self::Record) -> Xid;

    /// Whether two records of one xid say the same, judged as [`begin`](Self::begin) judges a
    /// record against a row.
    fn same(&self, one: &Self::Record, other: &Self::Record) -> bool;

    /// Where the record's log row lives.
    fn shard(&self, record: &Self::Record) -> ShardId;

    /// Every shard that has log rows; the sweeper visits each.
    fn shards(&self) -> Vec<ShardId>;

    /// Appends the record's branches to `out`, in the order of their numbers.
    fn branches(&self, record: &Self::Record, out: &mut Vec<Branch<Self::Payload>>);

    /// Round 1: inserts what is new as [`State::Trying`], due for the sweeper one lease from now,
    /// and tells the state of all. See [`Pass`] for what to do about what is old. Called as
    /// [`Pass::Again`] also to read where things stand.
    fn begin(
        &self,
        conn: &mut MySqlConnection,
        records: &[Self::Record],
        pass: Pass,
    ) -> impl Future<Output = Result<Vec<Begun>, SqlFault>> + Send;

    /// Round 3: a compare-and-set from [`State::Trying`]. Answers the state that stands
    /// afterwards, whoever set it.
    fn decide(
        &self,
        conn: &mut MySqlConnection,
        decisions: &[Decision],
    ) -> impl Future<Output = Result<Vec<State>, SqlFault>> + Send;

    /// Round 5: a compare-and-set from confirming to confirmed, or from cancelling to cancelled.
    /// Answers the state that stands afterwards.
    fn end(
        &self,
        conn: &mut MySqlConnection,
        endings: &[Ending],
    ) -> impl Future<Output = Result<Vec<State>, SqlFault>> + Send;

    /// Leases up to `limit` open global transactions that are due (`FOR UPDATE SKIP LOCKED`),
    /// oldest first: counts an attempt and moves when they are due by `lease`.
    fn claim_due(
        &self,
        conn: &mut MySqlConnection,
        shard: ShardId,
        limit: u32,
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Claimed<Self::Record>>, SqlFault>> + Send;

    /// Moves when open global transactions are due, and keeps the cause. Ended ones stay as they
    /// are.
    fn postpone(
        &self,
        conn: &mut MySqlConnection,
        postponements: &[Postponement],
    ) -> impl Future<Output = Result<(), SqlFault>> + Send;

    /// How many open global transactions of the shard have been attempted at least so often. Looks
    /// at no more than `rows_max` of those that are open, so that it costs the same on a bad day.
    fn count_attempted(
        &self,
        conn: &mut MySqlConnection,
        shard: ShardId,
        attempts: u32,
        rows_max: u32,
    ) -> impl Future<Output = Result<u64, SqlFault>> + Send;
}
