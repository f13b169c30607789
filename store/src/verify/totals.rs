//! For each currency, the sum over all accounts is zero once the legs that confirming orders still
//! owe are counted.

use super::Verification;
use super::orders::branch_rows;
use super::report::Breach;
use super::rows::{self, OrderFacts};
use domain::{ShardName, StoreKind, Xid};
use std::collections::BTreeMap;

/// What the books of all shards are short of or over, for each currency; none when some shard could
/// not be asked, which the report then says. The shards are asked one after the other, so under load
/// it is never quite zero, but then it is not the same twice either.
pub(super) async fn imbalance(
    verification: &mut Verification<'_>,
) -> Option<BTreeMap<String, i128>> {
    let mut totals: BTreeMap<String, i128> = BTreeMap::new();
    owed(verification, &mut totals).await?;
    for shard in verification.shards_of(StoreKind::Accounts) {
        let balances = read_balances(verification, shard).await;
        for (currency, total) in known(verification, shard, balances)? {
            *totals.entry(currency).or_default() += i128::from(total);
        }
    }
    totals.retain(|_, total| *total != 0);
    Some(totals)
}

/// What was read; none, and a word in the report, when it could not be.
fn known<T>(
    verification: &mut Verification<'_>,
    shard: ShardName,
    read: Result<T, sqlx::Error>,
) -> Option<T> {
    read.map_err(|error| {
        verification
            .report
            .add_unreachable(shard, error.to_string());
    })
    .ok()
}

async fn read_balances(
    verification: &Verification<'_>,
    shard: ShardName,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut conn = verification.pool(shard).acquire().await?;
    rows::totals(&mut conn).await
}

async fn read_confirming(
    verification: &Verification<'_>,
    shard: ShardName,
) -> Result<Vec<OrderFacts>, sqlx::Error> {
    let mut conn = verification.pool(shard).acquire().await?;
    rows::confirming_orders(&mut conn).await
}

/// Adds the legs of confirming orders that are not booked yet; none when that is not known of each.
async fn owed(
    verification: &mut Verification<'_>,
    totals: &mut BTreeMap<String, i128>,
) -> Option<()> {
    for shard in verification.shards_of(StoreKind::Orders) {
        let orders = read_confirming(verification, shard).await;
        let orders = known(verification, shard, orders)?;
        let (branches, unread) = branch_rows(verification, &orders).await;
        if !unread.is_empty() {
            return None;
        }
        for order in orders {
            for (number, leg) in (0..).zip(&order.legs) {
                if !branches
                    .entries
                    .contains_key(&(Xid::from(order.id), number))
                {
                    *totals.entry(order.currency.clone()).or_default() += i128::from(leg.delta());
                }
            }
        }
    }
    Some(())
}

pub(super) fn breaches(imbalance: BTreeMap<String, i128>) -> impl Iterator<Item = Breach> {
    imbalance.into_iter().map(|(currency, total)| {
        let text = format!("the balances of all accounts in {currency} do not sum to zero");
        Breach::new("INV-1", text, vec![format!("sum {total} {currency}")])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Report;
    use crate::{Stores, StoresSettings};

    #[tokio::test]
    async fn a_sum_that_cannot_be_computed_names_the_shard_that_did_not_answer() {
        let url = |name: &str| vec![format!("mysql://nobody@127.0.0.1:1/{name}")];
        let stores = Stores::connect(&StoresSettings {
            order_shards: url("orders_0"),
            account_shards: url("accounts_0"),
            connect_timeout_ms: 100,
            ..StoresSettings::default()
        })
        .unwrap();
        let mut verification = Verification {
            stores: &stores,
            report: Report::default(),
        };
        assert_eq!(imbalance(&mut verification).await, None);
        let unreachable = &verification.report.unreachable;
        assert_eq!(unreachable.len(), 1);
        assert_eq!(unreachable[0].shard, "orders-0");
    }
}
