//! `consistency=strict`: a page as the order stores have it.

use super::{Filters, FoundOrder};
use crate::order_lookup::{Found, OrderLookup};
use domain::{OrderStatus, Reason};
use futures_util::future::join_all;

/// A store could not be asked about an order of the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotChecked;

/// Shows each order as its row is now. One that no longer fits by what can change, its status and
/// its reason, is left out; so is one without a row.
pub(crate) async fn check(
    lookup: &OrderLookup,
    orders: Vec<FoundOrder>,
    filters: &Filters,
) -> Result<Vec<FoundOrder>, NotChecked> {
    let ids = orders.iter().filter_map(FoundOrder::order_id);
    // All of them share a statement a shard.
    let rows = join_all(ids.map(|id| lookup.find(id))).await;
    let mut checked = Vec::with_capacity(rows.len());
    for found in rows {
        match found {
            Found::Row(row) if fits(row.outcome(), filters) => {
                checked.push(FoundOrder::of_row(&row))
            }
            Found::Row(_) | Found::Missing => {}
            Found::Unreachable => return Err(NotChecked),
        }
    }
    Ok(checked)
}

fn fits((status, reason): (OrderStatus, Option<Reason>), filters: &Filters) -> bool {
    let by_status = filters.status.is_empty() || filters.status.contains(&status);
    let by_reason =
        filters.reason.is_empty() || reason.is_some_and(|r| filters.reason.contains(&r));
    by_status && by_reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_fits_by_what_can_change() {
        let all = Filters::default();
        let paid = Filters {
            status: vec![OrderStatus::Paid],
            ..Filters::default()
        };
        let poor = Filters {
            reason: vec![Reason::InsufficientFunds],
            ..Filters::default()
        };
        let funds = Some(Reason::InsufficientFunds);
        for (status, reason, expected) in [
            (OrderStatus::Processing, None, [true, false, false]),
            (OrderStatus::Paid, None, [true, true, false]),
            (OrderStatus::Cancelled, funds, [true, false, true]),
            (
                OrderStatus::Cancelled,
                Some(Reason::Expired),
                [true, false, false],
            ),
        ] {
            let found = [&all, &paid, &poor].map(|f| fits((status, reason), f));
            assert_eq!(found, expected, "{status:?} {reason:?}");
        }
    }
}
