//! What the databases say of many orders in few numbers, so that stores can be compared without
//! shipping their rows; and the rows themselves, where the numbers differ.
//!
//! Everything is counted by ranges of ids ([`IdRange`]): ids are hashes, so ranges are equal in size,
//! and an order has the same id in every store. The first pass reads each table in its own order, in
//! spans of bounded size; only ranges that differ are read by id afterwards.
//!
//! Stores are never read at one instant. So the sums leave out what was written since a moment
//! ([`Settled`]), and whoever finds a difference looks at its rows again.

mod entries;
mod holds;
mod movements;
mod orders;
mod range;
mod sums;

pub use entries::{EntrySpan, entry_spans, entry_sums};
pub use holds::{HoldSpan, hold_spans, open_holds};
pub use movements::{EntryFact, HoldFact, Movements, movements, xids_between};
pub use orders::{OrderSpan, OrderSums, Settledness, order_ids_between, order_spans, order_sums};
pub use range::IdRange;
pub use sums::{Settled, Sum, Sums};

use crate::{StoreError, Stores};
use domain::ShardName;
use sqlx::MySql;
use sqlx::pool::PoolConnection;

/// How many rows one statement of the first pass reads at most: well below a statement's time-out.
const SPAN_ROWS: u64 = 50_000;

/// A connection to this shard.
async fn connection(
    stores: &Stores,
    shard: ShardName,
) -> Result<PoolConnection<MySql>, StoreError> {
    let acquired = stores.pool(shard).acquire().await;
    acquired.map_err(|error| StoreError::of(shard, error))
}

/// Spans of numbers `(after, to]` that cover 1 to `last`.
fn spans(last: u64) -> impl Iterator<Item = (u64, u64)> {
    let firsts = (0..last).step_by(usize::try_from(SPAN_ROWS).unwrap_or(usize::MAX));
    firsts.map(move |after| (after, last.min(after.saturating_add(SPAN_ROWS))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_follow_each_other_without_a_gap(last in 0_u64..5_000_000) {
            let mut end = 0;
            for (after, to) in spans(last) {
                prop_assert_eq!(after, end);
                prop_assert!(to > after && to - after <= SPAN_ROWS);
                end = to;
            }
            prop_assert_eq!(end, last);
        }
    }
}
