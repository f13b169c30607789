//! The open orders of all order shards, page by page: what an operator's commands list and change.
//!
//! A page is one statement of at most [`PAGE`] rows by the index on when orders are due, and must
//! answer within [`PAGE_TIMEOUT`]; a shard that does not is named and passed over, and so is a row
//! that cannot be read.

use crate::cause;
use domain::{OrderState, ShardName, StoreKind};
use std::collections::HashMap;
use std::time::Duration;
use store::{OpenOrder, OpenPlace, StoreError, Stores};

/// Orders in one page.
pub const PAGE: u32 = 1_000;
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);

/// So many unreadable rows of a shard are named; more are told by their number.
const UNREADABLE_MAX: usize = 20;

/// The databases that do not answer, and why.
pub type Down = HashMap<ShardName, String>;

/// How an open order looks to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Attempted so often that it counts as stuck.
    Stuck,
    /// Undecided past the time it had for that.
    Overdue,
    /// Due, and no sweeper has taken it yet.
    Due,
    /// In somebody's hands, or waiting for its next attempt.
    InWork,
}

impl Look {
    /// The look of an order, where orders are stuck from this many attempts on.
    pub fn of(order: &OpenOrder, stuck_after_attempts: u32) -> Self {
        if order.attempts >= stuck_after_attempts {
            Self::Stuck
        } else if order.overdue {
            Self::Overdue
        } else if order.next_attempt_at <= order.read_at {
            Self::Due
        } else {
            Self::InWork
        }
    }

    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Overdue => "overdue",
            Self::Due => "due",
            Self::InWork => "in work",
        }
    }

    /// Whether an operator should know of it unasked.
    pub const fn needs_a_look(self) -> bool {
        match self {
            Self::Stuck | Self::Overdue => true,
            Self::Due | Self::InWork => false,
        }
    }
}

/// The state in the design's word.
pub const fn word(state: OrderState) -> &'static str {
    match state {
        OrderState::Trying => "trying",
        OrderState::Confirming => "confirming",
        OrderState::Cancelling => "cancelling",
        OrderState::Paid => "paid",
        OrderState::Cancelled => "cancelled",
    }
}

/// Why a shard was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no answer within {PAGE_TIMEOUT:?}")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("{0:#}")]
    Refused(anyhow::Error),
}

/// What was not read, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NotRead {
    /// Shards that were not read to their ends.
    pub silent: Vec<(ShardName, String)>,
    /// Single rows, such as `seq 7 is unreadable: ...`.
    pub rows: Vec<(ShardName, String)>,
}

impl NotRead {
    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.silent.is_empty() && self.rows.is_empty()
    }

    fn add_rows(&mut self, shard: ShardName, rows: Vec<String>) {
        let more = rows.len().saturating_sub(UNREADABLE_MAX);
        let named = rows.into_iter().take(UNREADABLE_MAX);
        self.rows.extend(named.map(|row| (shard, row)));
        if more > 0 {
            let row = format!("{more} more rows are unreadable");
            self.rows.push((shard, row));
        }
    }
}

/// The account shards that do not answer: what is known of the orders with a branch there is not
/// the whole truth.
pub fn silent_account_shards(down: &Down) -> Vec<(ShardName, String)> {
    let silent = down.iter().map(|(shard, why)| (*shard, why.clone()));
    let mut silent: Vec<_> = silent
        .filter(|(shard, _)| shard.store == StoreKind::Accounts)
        .collect();
    silent.sort_unstable();
    silent
}

/// Hands every page of every order shard from this place on to `each`, one shard after the other,
/// each shard as of one instant. Answers what was not read. The first that `each` cannot cope with
/// ends its shard.
pub async fn read_all(
    stores: &Stores,
    down: &Down,
    from: Option<(ShardName, OpenPlace)>,
    mut each: impl AsyncFnMut(ShardName, Vec<OpenOrder>) -> anyhow::Result<()>,
) -> NotRead {
    let mut not_read = NotRead::default();
    for shard in stores.orders.shards() {
        let after = match from {
            Some((first, _)) if shard < first => continue,
            Some((first, place)) if shard == first => place,
            Some(_) | None => OpenPlace::START,
        };
        if let Some(why) = down.get(&shard) {
            not_read.silent.push((shard, why.clone()));
            continue;
        }
        let mut unreadable = Vec::new();
        let read = read_shard(stores, shard, after, &mut each, &mut unreadable).await;
        not_read.add_rows(shard, unreadable);
        if let Err(error) = read {
            not_read.silent.push((shard, cause::told(&error)));
        }
    }
    not_read
}

async fn read_shard(
    stores: &Stores,
    shard: ShardName,
    after: OpenPlace,
    each: &mut impl AsyncFnMut(ShardName, Vec<OpenOrder>) -> anyhow::Result<()>,
    unreadable: &mut Vec<String>,
) -> Result<(), Unread> {
    let opened = stores.orders.open_orders(shard, after);
    let mut orders = tokio::time::timeout(PAGE_TIMEOUT, opened).await??;
    loop {
        let page = tokio::time::timeout(PAGE_TIMEOUT, orders.next_page(PAGE)).await??;
        unreadable.extend(orders.take_unreadable());
        if !page.is_empty() {
            each(shard, page).await.map_err(Unread::Refused)?;
        }
        if orders.is_at_end() {
            return Ok(());
        }
    }
}

#[cfg(test)]
pub mod samples {
    //! Orders for unit tests.

    use super::*;
    use chrono::{DateTime, TimeDelta};
    use domain::{BodyDigest, OrderId, Reason};
    use store::OrderRow;

    /// The whole row of one that was cancelled.
    pub fn row() -> OrderRow {
        OrderRow {
            seq: 1,
            id: OrderId::from_bytes([7; 16]),
            tenant: "demo".into(),
            merchant: "shop".into(),
            body_digest: BodyDigest::from_bytes([0; 32]),
            state: OrderState::Cancelled,
            reason: Some(Reason::AccountClosed),
            version: 2,
            currency: "USD".parse().unwrap(),
            amount: 500,
            captured: 0,
            refunded: 0,
            legs: Vec::new(),
            reference: None,
            description: None,
            metadata: None,
            accepted_at: DateTime::UNIX_EPOCH,
            not_after: DateTime::UNIX_EPOCH,
            decide_by: DateTime::UNIX_EPOCH,
            next_attempt_at: None,
            attempts: 0,
            last_cause: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Confirming, attempted once, and waiting for its next attempt.
    pub fn order() -> OpenOrder {
        let read_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        OpenOrder {
            seq: 7,
            id: OrderId::from_bytes([7; 16]),
            state: OrderState::Confirming,
            legs: Vec::new(),
            next_attempt_at: read_at + TimeDelta::seconds(5),
            attempts: 1,
            last_cause: None,
            created_at: read_at - TimeDelta::hours(1),
            read_at,
            overdue: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::order;
    use super::*;

    #[test]
    fn an_order_is_stuck_from_the_set_number_of_attempts_on() {
        let of = |attempts| {
            Look::of(
                &OpenOrder {
                    attempts,
                    ..order()
                },
                20,
            )
        };
        assert_eq!(of(19), Look::InWork);
        assert_eq!(of(20), Look::Stuck);
        assert_eq!(of(21), Look::Stuck);
    }

    #[test]
    fn an_undecided_order_past_its_time_is_overdue_before_it_is_stuck() {
        let overdue = OpenOrder {
            overdue: true,
            ..order()
        };
        assert_eq!(Look::of(&overdue, 20), Look::Overdue);
    }

    #[test]
    fn only_silent_account_shards_are_told_in_their_order() {
        let shard = |store, index| ShardName { store, index };
        let (orders, accounts) = (StoreKind::Orders, StoreKind::Accounts);
        let why = || "connection refused".to_owned();
        let down = Down::from([
            (shard(accounts, 1), why()),
            (shard(orders, 0), why()),
            (shard(accounts, 0), why()),
        ]);
        let silent = silent_account_shards(&down);
        assert_eq!(
            silent,
            [(shard(accounts, 0), why()), (shard(accounts, 1), why())]
        );
    }

    #[test]
    fn many_unreadable_rows_are_told_by_their_number() {
        let store = StoreKind::Orders;
        let shard = ShardName { store, index: 0 };
        let mut not_read = NotRead::default();
        assert!(not_read.is_empty());
        not_read.add_rows(shard, vec!["seq 7 is unreadable".to_owned(); 25]);
        assert!(!not_read.is_empty());
        assert_eq!(not_read.rows.len(), UNREADABLE_MAX + 1);
        assert_eq!(not_read.rows[20].1, "5 more rows are unreadable");
    }

    #[test]
    fn a_due_order_alone_needs_no_look() {
        let due = OpenOrder {
            next_attempt_at: order().read_at,
            ..order()
        };
        assert_eq!(Look::of(&due, 20), Look::Due);
        assert!(!Look::Due.needs_a_look());
    }
}
