//! The row locks of workers whose batches meet on two shards: each SQL transaction takes its rows
//! one after the other, waits for those that another has, and keeps them until its commit. Taken in
//! one order by all, they never wait for each other in a circle.
//!
//! The order of branches is the live one, of [`Batch::branch_sets`]; that accounts come after
//! fences and sorted is the participants' rule.

use crate::batch::{Batch, BranchSet};
use crate::flight::{Flight, Stage};
use crate::{Branch, ShardId, Xid};
use stateright::{Model, Property};

const NO_CIRCLE: &str = "somebody can go on until all have committed";

/// A row that is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum LockedRow {
    Fence(ShardId, Xid, u8),
    Account(ShardId, u8),
}

/// What is taken in another order on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swap {
    /// One worker takes branches in the order of delivery.
    Branches,
    /// One worker takes accounts in the order of delivery.
    Accounts,
    /// One worker takes accounts before fences.
    AccountsFirst,
    /// One worker confirms and cancels in one SQL transaction.
    ConfirmAndCancelTogether,
    /// A worker's SQL transactions on two shards are open at once, one begun before the other.
    ShardsNested,
}

/// The SQL transactions that run at once, each as the rows that it locks, in its order.
#[derive(Debug, Clone)]
struct Locks {
    transactions: Vec<Vec<LockedRow>>,
}

/// For each SQL transaction, how many rows it has locked; nothing: it committed.
type Locked = Vec<Option<usize>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moves {
    /// It locks its next row.
    Lock(usize),
    /// It has all and commits.
    Commit(usize),
}

impl Locks {
    fn is_free(&self, locked: &Locked, row: LockedRow) -> bool {
        let holds = |(rows, count): (&Vec<LockedRow>, &Option<usize>)| {
            count.is_some_and(|count| rows[..count].contains(&row))
        };
        !self.transactions.iter().zip(locked).any(holds)
    }
}

impl Model for Locks {
    type State = Locked;
    type Action = Moves;

    fn init_states(&self) -> Vec<Locked> {
        vec![vec![Some(0); self.transactions.len()]]
    }

    fn actions(&self, locked: &Locked, actions: &mut Vec<Moves>) {
        for (t, (rows, count)) in self.transactions.iter().zip(locked).enumerate() {
            match count.map(|count| rows.get(count)) {
                None => {}
                Some(None) => actions.push(Moves::Commit(t)),
                Some(Some(row)) if self.is_free(locked, *row) => actions.push(Moves::Lock(t)),
                Some(Some(_)) => {}
            }
        }
    }

    fn next_state(&self, locked: &Locked, action: Moves) -> Option<Locked> {
        let mut locked = locked.clone();
        match action {
            Moves::Lock(t) => locked[t] = locked[t].map(|count| count + 1),
            Moves::Commit(t) => locked[t] = None,
        }
        Some(locked)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let no_circle = |model: &Self, locked: &Locked| {
            let mut actions = Vec::new();
            model.actions(locked, &mut actions);
            !actions.is_empty() || locked.iter().all(Option::is_none)
        };
        vec![
            Property::always(NO_CIRCLE, no_circle),
            Property::sometimes("all commit", |_, locked: &Locked| {
                locked.iter().all(Option::is_none)
            }),
        ]
    }
}

const SHARDS: [ShardId; 2] = [ShardId(4), ShardId(5)];

/// Orders as they were delivered, each by its number and, for both shards alike, its account.
fn sets(orders: &[(u8, u8)]) -> Vec<BranchSet<u8>> {
    let flight = |&(order, account): &(u8, u8)| {
        let branch = |(number, shard): (u8, &ShardId)| Branch {
            xid: Xid([order; 16]),
            number,
            shard: *shard,
            payload: account,
        };
        Flight {
            xid: Xid([order; 16]),
            home: ShardId(0),
            branches: (0..).zip(&SHARDS).map(branch).collect(),
            attempts: 0,
            stage: Stage::Try,
            alarm: None,
        }
    };
    let batch = Batch {
        records: orders.to_vec(),
        flights: orders.iter().map(flight).collect(),
    };
    batch.branch_sets(|stage| *stage == Stage::Try)
}

/// The rows of a set, in the order that all participants take them.
fn rows(set: &BranchSet<u8>, swap: Option<Swap>) -> Vec<LockedRow> {
    let account = |branch: &Branch<u8>| LockedRow::Account(set.shard, branch.payload);
    let fence = |branch: &Branch<u8>| LockedRow::Fence(set.shard, branch.xid, branch.number);
    let mut fences: Vec<LockedRow> = set.branches.iter().map(fence).collect();
    let mut accounts: Vec<LockedRow> = set.branches.iter().map(account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    match swap {
        Some(Swap::Branches) => fences.reverse(),
        Some(Swap::Accounts) => accounts.reverse(),
        Some(Swap::AccountsFirst) => return [accounts, fences].concat(),
        Some(Swap::ConfirmAndCancelTogether | Swap::ShardsNested) | None => {}
    }
    [fences, accounts].concat()
}

/// Three workers: two have the same orders, delivered in two orders; the third has other orders on
/// the same accounts. One of the workers may be wrong.
fn workers(swap: Option<Swap>) -> Locks {
    let first = sets(&[(1, 10), (2, 20)]);
    let again = sets(&[(2, 20), (1, 10)]);
    let other = sets(&[(3, 20), (4, 10)]);
    let right = |sets: &[BranchSet<u8>]| -> Vec<Vec<LockedRow>> {
        sets.iter().map(|set| rows(set, None)).collect()
    };
    let wrong: Vec<Vec<LockedRow>> = match swap {
        Some(Swap::ConfirmAndCancelTogether) => {
            let (confirms, cancels) = (sets(&[(0, 20)]), sets(&[(2, 20)]));
            let both = confirms.iter().zip(&cancels);
            both.map(|(confirm, cancel)| together(&rows(confirm, None), &rows(cancel, None)))
                .collect()
        }
        Some(Swap::ShardsNested) => {
            let mut shards = right(&again);
            shards.reverse();
            vec![shards.concat()]
        }
        swap => again.iter().map(|set| rows(set, swap)).collect(),
    };
    let first = match swap {
        Some(Swap::ShardsNested) => vec![right(&first).concat()],
        _ => right(&first),
    };
    Locks {
        transactions: [first, wrong, right(&other)].concat(),
    }
}

/// One after the other in one SQL transaction; what is locked already is not waited for.
fn together(one: &[LockedRow], other: &[LockedRow]) -> Vec<LockedRow> {
    let rest = other.iter().filter(|row| !one.contains(row));
    one.iter().chain(rest).copied().collect()
}

mod tests {
    use super::super::{explore, shortest_counterexample};
    use super::*;

    fn steps_to_a_circle(swap: Swap) -> Option<usize> {
        Some(shortest_counterexample(&workers(Some(swap)), NO_CIRCLE)?.len())
    }

    #[test]
    fn workers_that_lock_in_one_order_never_wait_in_a_circle() {
        let states = explore(workers(None));
        assert!(states > 10_000, "{states}");
    }

    #[test]
    fn every_other_order_of_locks_is_caught() {
        for swap in [
            Swap::Branches,
            Swap::Accounts,
            Swap::AccountsFirst,
            Swap::ConfirmAndCancelTogether,
            Swap::ShardsNested,
        ] {
            let steps = steps_to_a_circle(swap);
            assert!(steps.is_some(), "{swap:?} makes no circle");
        }
    }
}
