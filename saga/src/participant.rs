//! What the engine asks of whoever owns branches.

use crate::{Reason, ShardId, SqlFault, Xid};
use sqlx::mysql::MySqlConnection;
use std::future::Future;

/// One participant's part of a global transaction, on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch<P> {
    /// The global transaction.
    pub xid: Xid,
    /// Which branch of it, from 0.
    pub number: u8,
    /// Where its rows live.
    pub shard: ShardId,
    /// What to reserve, in the participant's own terms.
    pub payload: P,
}

/// What a try says of one branch. It says the same each time it is asked; only where nothing but
/// the confirm writes (there is no fence to remember it by), a repeated try may refuse what an
/// earlier one reserved. The first decision stands all the same, so its confirm must succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryOutcome {
    /// Reserved: a confirm will succeed.
    Reserved,
    /// Refused by a rule of the business.
    Refused(Reason),
    /// A cancel was here first; nothing is or will be reserved.
    CancelledBefore,
    /// The branch was tried before with another payload. The first one stands; somebody is told.
    Mismatch(String),
}

/// What a confirm or a cancel says of one branch. Neither can refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishOutcome {
    /// Confirmed, or cancelled, now or before.
    Done,
    /// The branch is in a state this phase may never meet (a confirm without a try, after a
    /// cancel, ...). Nothing was changed; somebody is told.
    Breach(String),
}

/// How sure the engine is that a set is new, so that the usual case pays for no look.
///
/// A statement that met a duplicate keeps a next-key lock on it until its SQL transaction ends: it
/// blocks unrelated inserts, also under READ COMMITTED, and also after ROLLBACK TO SAVEPOINT unless
/// nothing was written before the savepoint (tried on MySQL 9.7 and MariaDB 10.11). Therefore no
/// operation handles a duplicate itself: it lets error 1062 go up as [`SqlFault::Duplicate`] (and a
/// compare-and-set that matched too few rows as [`SqlFault::Partial`]), the coordinator rolls the
/// whole SQL transaction back and runs the set once more as `Again`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Insert plainly (neither IGNORE nor ON DUPLICATE KEY) and look at nothing before. No
    /// duplicate means that all are new, and this SQL transaction's own.
    First,
    /// Some are here already: lock and read the set's fences (`SELECT ... ORDER BY xid, branch FOR
    /// UPDATE`), treat each found one by its state, insert the rest plainly. A duplicate on this
    /// pass means that another worker was quicker just now: the coordinator runs it `Again`.
    Again,
}

/// The owner of branches. Each operation takes branches of **one shard, each at most once, sorted
/// by (xid, number)**, runs inside the caller's SQL transaction, may be repeated any number of
/// times and in any order, and answers in the order it was asked.
///
/// An `Err` speaks of the whole batch: the caller rolls back. The number of SQL statements must not
/// depend on the number of branches. A set may come as [`Pass::Again`] at any time; an operation
/// that inserts nothing needs no regard for the pass.
///
/// The coordinator calls `confirm` and `cancel` in SQL transactions of their own, so that each may
/// lock fences first and balances after, in sorted order.
pub trait Participant: Send + Sync + 'static {
    /// What a branch carries.
    type Payload: Clone + Send + Sync + 'static;

    /// Reserves, or refuses.
    fn try_reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Self::Payload>],
        pass: Pass,
    ) -> impl Future<Output = Result<Vec<TryOutcome>, SqlFault>> + Send;

    /// Makes final what was reserved.
    fn confirm(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Self::Payload>],
        pass: Pass,
    ) -> impl Future<Output = Result<Vec<FinishOutcome>, SqlFault>> + Send;

    /// Releases what was reserved; where nothing was, leaves a tombstone that refuses a late try.
    fn cancel(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Self::Payload>],
        pass: Pass,
    ) -> impl Future<Output = Result<Vec<FinishOutcome>, SqlFault>> + Send;
}
