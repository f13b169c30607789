//! The open orders of all order shards, page by page: what an operator's commands list and change.
//!
//! A page is one statement of at most [`PAGE`] rows by the index on when orders are due, and must
//! answer within [`PAGE_TIMEOUT`]; a shard that does not is named and passed over.

use crate::cause;
use domain::{OrderState, ShardName};
use std::collections::HashMap;
use std::time::Duration;
use store::{OpenOrder, OpenPlace, StoreError, Stores};

/// Orders in one page.
pub const PAGE: u32 = 1_000;
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);

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

/// Hands every page of every order shard from this place on to `each`, one shard after the other,
/// each shard as of one instant. Answers the shards that were not read to their ends. The first
/// that `each` cannot cope with ends its shard.
pub async fn read_all(
    stores: &Stores,
    down: &Down,
    from: Option<(ShardName, OpenPlace)>,
    mut each: impl AsyncFnMut(ShardName, Vec<OpenOrder>) -> anyhow::Result<()>,
) -> Vec<(ShardName, String)> {
    let mut silent = Vec::new();
    for shard in stores.orders.shards() {
        let after = match from {
            Some((first, _)) if shard < first => continue,
            Some((first, place)) if shard == first => place,
            Some(_) | None => OpenPlace::START,
        };
        if let Some(why) = down.get(&shard) {
            silent.push((shard, why.clone()));
            continue;
        }
        if let Err(error) = read_shard(stores, shard, after, &mut each).await {
            silent.push((shard, cause::told(&error)));
        }
    }
    silent
}

async fn read_shard(
    stores: &Stores,
    shard: ShardName,
    after: OpenPlace,
    each: &mut impl AsyncFnMut(ShardName, Vec<OpenOrder>) -> anyhow::Result<()>,
) -> Result<(), Unread> {
    let opened = stores.orders.open_orders(shard, after);
    let mut orders = tokio::time::timeout(PAGE_TIMEOUT, opened).await??;
    loop {
        let page = tokio::time::timeout(PAGE_TIMEOUT, orders.next_page(PAGE)).await??;
        let is_last = page.len() < PAGE as usize;
        if !page.is_empty() {
            each(shard, page).await.map_err(Unread::Refused)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
pub mod samples {
    //! An open order for unit tests.

    use super::*;
    use chrono::{DateTime, TimeDelta};
    use domain::OrderId;

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
    fn a_due_order_alone_needs_no_look() {
        let due = OpenOrder {
            next_attempt_at: order().read_at,
            ..order()
        };
        assert_eq!(Look::of(&due, 20), Look::Due);
        assert!(!Look::Due.needs_a_look());
    }
}
