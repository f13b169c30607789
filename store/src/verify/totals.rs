//! For each currency, the sum over all accounts is zero once the legs that confirming orders still
//! owe are counted.

use super::Verification;
use super::orders::branch_rows;
use super::report::Breach;
use super::rows;
use domain::{StoreKind, Xid};
use std::collections::BTreeMap;

/// What the books of all shards are short of or over, for each currency; none when some shard could
/// not be asked. The shards are asked one after the other, so under load it is never quite zero, but
/// then it is not the same twice either.
pub(super) async fn imbalance(
    verification: &mut Verification<'_>,
) -> Option<BTreeMap<String, i128>> {
    let mut totals: BTreeMap<String, i128> = BTreeMap::new();
    owed(verification, &mut totals).await.ok()?;
    for shard in verification.shards_of(StoreKind::Accounts) {
        let mut conn = verification.pool(shard).acquire().await.ok()?;
        for (currency, total) in rows::totals(&mut conn).await.ok()? {
            *totals.entry(currency).or_default() += i128::from(total);
        }
    }
    totals.retain(|_, total| *total != 0);
    Some(totals)
}

/// Adds the legs of confirming orders that are not booked yet.
async fn owed(
    verification: &mut Verification<'_>,
    totals: &mut BTreeMap<String, i128>,
) -> Result<(), sqlx::Error> {
    for shard in verification.shards_of(StoreKind::Orders) {
        let mut conn = verification.pool(shard).acquire().await?;
        let orders = rows::confirming_orders(&mut conn).await?;
        let (branches, _) = branch_rows(verification, &orders).await;
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
    Ok(())
}

pub(super) fn breaches(imbalance: BTreeMap<String, i128>) -> impl Iterator<Item = Breach> {
    imbalance.into_iter().map(|(currency, total)| {
        let text = format!("the balances of all accounts in {currency} do not sum to zero");
        Breach::new("INV-1", text, vec![format!("sum {total} {currency}")])
    })
}
