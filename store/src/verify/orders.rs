//! Every order against its holds and entries. They live on other shards and are read later than the
//! order, so what looks wrong may be work in progress: it is looked at again.

use super::Verification;
use super::order_rules::{BranchRows, check_order};
use super::report::Breach;
use super::rows::{self, OrderFacts};
use crate::holds::BranchKey;
use domain::{OrderId, OrderState, ShardName, Xid};
use std::collections::{BTreeMap, HashSet};

/// Checks the orders of one shard. Adds those that look wrong to `suspects`, also when the shard
/// cannot be read to its end.
pub(super) async fn check(
    verification: &mut Verification<'_>,
    shard: ShardName,
    suspects: &mut Vec<OrderId>,
) -> Result<(), sqlx::Error> {
    let mut conn = verification.pool(shard).acquire().await?;
    let mut after = 0;
    loop {
        let page = rows::orders(&mut conn, after).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = *last;
        verification.report.counted.orders += page.len() as u64;
        let (page, unreadable) = readable(shard, page);
        verification.report.add(unreadable);
        verification.report.in_flight += page.iter().filter(|order| is_open(order)).count() as u64;
        let wrong = breaches(verification, &page).await;
        suspects.extend(wrong.into_iter().map(|(id, _)| id));
    }
}

/// The orders that could be read, and a breach for each row that could not.
fn readable(
    shard: ShardName,
    page: Vec<(u64, Result<OrderFacts, sqlx::Error>)>,
) -> (Vec<OrderFacts>, Vec<Breach>) {
    let (mut orders, mut breaches) = (Vec::with_capacity(page.len()), Vec::new());
    for (seq, order) in page {
        match order {
            Ok(order) => orders.push(order),
            Err(error) => {
                let row = format!("{shard} seq {seq}: {error}");
                breaches.push(Breach::new("INV-2", "an order is unreadable", vec![row]));
            }
        }
    }
    (orders, breaches)
}

/// Looks at suspects again. Answers those that still look wrong, with what is wrong.
pub(super) async fn look_again(
    verification: &mut Verification<'_>,
    suspects: &[OrderId],
) -> Vec<(OrderId, Vec<Breach>)> {
    let mut wrong = Vec::new();
    for page in suspects.chunks(rows::PAGE_ROWS as usize) {
        let orders = verification.find_orders(page).await;
        let orders: Vec<OrderFacts> = orders.into_values().collect();
        wrong.extend(breaches(verification, &orders).await);
    }
    wrong
}

fn is_open(order: &OrderFacts) -> bool {
    match order.state {
        OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => true,
        OrderState::Paid | OrderState::Cancelled => false,
    }
}

async fn breaches(
    verification: &mut Verification<'_>,
    orders: &[OrderFacts],
) -> Vec<(OrderId, Vec<Breach>)> {
    let (branches, unread) = branch_rows(verification, orders).await;
    let known = orders.iter().filter(|order| !unread.contains(&order.id));
    known
        .map(|order| (order.id, check_order(order, &branches)))
        .filter(|(_, breaches)| !breaches.is_empty())
        .collect()
}

/// The holds and entries of the orders' legs, and the orders of which some could not be read.
pub(super) async fn branch_rows(
    verification: &mut Verification<'_>,
    orders: &[OrderFacts],
) -> (BranchRows, HashSet<OrderId>) {
    let mut of_shard: BTreeMap<ShardName, Vec<BranchKey>> = BTreeMap::new();
    for order in orders {
        for (number, leg) in (0..).zip(&order.legs) {
            let shard = verification.stores.routing().account_shard(leg.account);
            of_shard
                .entry(shard)
                .or_default()
                .push((order.id.into(), number));
        }
    }
    let mut found = BranchRows::default();
    let mut unread = HashSet::new();
    for (shard, keys) in of_shard {
        if let Err(error) = read(verification, shard, &keys, &mut found).await {
            verification
                .report
                .add_unreachable(shard, error.to_string());
            unread.extend(keys.iter().map(|(xid, _): &(Xid, u8)| OrderId::from(*xid)));
        }
    }
    (found, unread)
}

async fn read(
    verification: &Verification<'_>,
    shard: ShardName,
    keys: &[BranchKey],
    found: &mut BranchRows,
) -> Result<(), sqlx::Error> {
    let mut conn = verification.pool(shard).acquire().await?;
    // Entries first: a confirm between the two reads then shows a captured hold without its entry,
    // which a second look clears, never an entry that seems to come from nowhere.
    let entries = rows::entries_of(&mut conn, keys).await?;
    let holds = rows::holds_of(&mut conn, keys).await?;
    found
        .entries
        .extend(entries.into_iter().map(|e| (e.key, e)));
    found.holds.extend(holds.into_iter().map(|h| (h.key, h)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns;
    use domain::StoreKind;

    #[test]
    fn an_order_that_cannot_be_read_is_a_breach_that_names_its_row() {
        let store = StoreKind::Orders;
        let shard = ShardName { store, index: 1 };
        let bad = columns::decode("branches", "is no JSON".to_owned());
        let good = OrderFacts {
            seq: 8,
            id: OrderId::from_bytes([7; 16]),
            state: OrderState::Paid,
            reason: None,
            version: 2,
            currency: "USD".to_owned(),
            amount: 10,
            captured: 10,
            refunded: 0,
            legs: Vec::new(),
            due: false,
            late: false,
        };
        let (orders, breaches) = readable(shard, vec![(7, Err(bad)), (8, Ok(good.clone()))]);
        assert_eq!(orders, [good]);
        assert_eq!(breaches.len(), 1);
        assert!(
            breaches[0].rows[0].starts_with("orders-1 seq 7: "),
            "{breaches:?}"
        );
    }
}
