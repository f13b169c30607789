//! The invariants as questions to live stores.
//!
//! What is in flight is told apart from what is wrong: an account shard is read as of one instant,
//! and what must be read on several shards one after the other is looked at again when it looks
//! wrong. Rows are read in pages, so memory stays flat; only what is open or wrong is kept.

mod accounts;
mod ledger;
mod order_rules;
mod orders;
mod report;
mod rows;
mod totals;

pub use report::{Breach, Counted, Report, Unreachable};

use crate::Stores;
use domain::{OrderId, ShardName, StoreKind};
use rows::OrderFacts;
use sqlx::mysql::MySqlPool;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How often what looks wrong is looked at again before it is called wrong.
const LOOKS_AGAIN: u32 = 3;
/// How long to wait before another look.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(700);

/// A verification under way.
struct Verification<'a> {
    stores: &'a Stores,
    report: Report,
}

/// Checks INV-1 to INV-6 as far as the order and account databases show them.
pub async fn run(stores: &Stores) -> Report {
    let mut verification = Verification {
        stores,
        report: Report::default(),
    };
    let mut suspects = Vec::new();
    for shard in stores.routing().names() {
        let checked = match shard.store {
            StoreKind::Orders => orders::check(&mut verification, shard, &mut suspects).await,
            StoreKind::Accounts => accounts::check(&mut verification, shard).await,
        };
        let checked = match checked {
            Ok(()) => verification.check_keys(shard).await,
            Err(error) => Err(error),
        };
        if let Err(error) = checked {
            verification
                .report
                .add_unreachable(shard, error.to_string());
        }
    }
    verification.judge_orders(suspects).await;
    verification.judge_totals().await;
    verification.report
}

impl Verification<'_> {
    /// INV-4 rests on unique keys: each must be there.
    async fn check_keys(&mut self, shard: ShardName) -> Result<(), sqlx::Error> {
        let mut conn = self.pool(shard).acquire().await?;
        let found = rows::unique_keys(&mut conn).await?;
        let wanted: &[&str] = match shard.store {
            StoreKind::Orders => &["orders_id"],
            StoreKind::Accounts => &["holds_branch", "entries_branch"],
        };
        for key in wanted.iter().filter(|key| !found.iter().any(|f| f == *key)) {
            let text = format!("{shard} lacks the unique key {key}");
            self.report.add([Breach::new("INV-4", text, Vec::new())]);
        }
        Ok(())
    }

    /// Calls wrong what looks wrong each time.
    async fn judge_orders(&mut self, mut suspects: Vec<OrderId>) {
        let mut wrong = Vec::new();
        for _ in 0..LOOKS_AGAIN {
            if suspects.is_empty() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            wrong = orders::look_again(self, &suspects).await;
            suspects = wrong.iter().map(|(id, _)| *id).collect();
        }
        self.report
            .add(wrong.into_iter().flat_map(|(_, breaches)| breaches));
    }

    /// Calls wrong an imbalance that is the same each time. A shard that does not answer is in the
    /// report, so that nobody takes a suspicion that could not be looked at again for "ok".
    async fn judge_totals(&mut self) {
        let Some(first) = totals::imbalance(self).await else {
            return;
        };
        let mut standing: BTreeMap<String, i128> = first;
        for _ in 0..LOOKS_AGAIN {
            if standing.is_empty() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            let Some(again) = totals::imbalance(self).await else {
                return;
            };
            standing.retain(|currency, total| again.get(currency) == Some(total));
        }
        self.report.add(totals::breaches(standing));
    }

    /// The orders of these ids that exist.
    async fn find_orders(&mut self, ids: &[OrderId]) -> HashMap<OrderId, OrderFacts> {
        let mut of_shard: BTreeMap<ShardName, Vec<OrderId>> = BTreeMap::new();
        for id in ids {
            let shard = self.stores.routing().order_shard(*id);
            of_shard.entry(shard).or_default().push(*id);
        }
        let mut found = HashMap::new();
        for (shard, mut ids) in of_shard {
            ids.sort_unstable();
            ids.dedup();
            let read = async {
                let mut conn = self.pool(shard).acquire().await?;
                rows::orders_by_id(&mut conn, &ids).await
            };
            match read.await {
                Ok(orders) => found.extend(orders.into_iter().map(|order| (order.id, order))),
                Err(error) => self.report.add_unreachable(shard, error.to_string()),
            }
        }
        found
    }

    /// Whether an order could not be looked up because its shard cannot be asked.
    fn is_unreachable(&self, id: OrderId) -> bool {
        let shard = self.stores.routing().order_shard(id).to_string();
        self.report
            .unreachable
            .iter()
            .any(|known| known.shard == shard)
    }

    fn pool(&self, shard: ShardName) -> &MySqlPool {
        self.stores.pool(shard)
    }

    fn shards_of(&self, store: StoreKind) -> Vec<ShardName> {
        let names = self.stores.routing().names();
        names.filter(|name| name.store == store).collect()
    }
}
