//! Into the ranges that differ: each is cut into sixteen until so few orders are left that they can be
//! looked at one by one. Ranges that agree are not read again.

use super::findings::Findings;
use super::ledger_judge::{Aspect, Contradicted};
use super::progress::Progress;
use super::search_judge::Look;
use super::{Reconciliation, Search};
use domain::{OrderId, StoreKind};
use futures_util::{StreamExt, stream};
use std::collections::BTreeSet;
use store::reconcile::{
    EntrySpan, IdRange, OrderSpan, OrderSums, Sums, entry_sums, order_ids_between, order_sums,
    xids_between,
};

/// A range of so few rows is not cut further.
const ROWS_MAX: u64 = 500;
/// How many ranges are read at the same time: an operator's command has few connections.
const RANGES_AT_ONCE: usize = 4;
/// How many suspects are gathered before they are looked at again.
const SUSPECTS_AT_ONCE: usize = 1_000;

/// What is compared with the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Their documents.
    Search,
    /// Their entries.
    Ledger,
}

/// A range in which the sums differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Differing {
    range: IdRange,
    /// The rows of the side that has more.
    rows: u64,
}

/// What came of looking into one.
enum Step {
    Narrower(Compared),
    /// The orders, documents or entries there.
    Few(Vec<String>),
}

/// What came of comparing ranges.
pub struct Compared {
    /// How many.
    pub ranges: u64,
    /// Those that differ.
    pub differing: Vec<Differing>,
}

/// Compares sums, range by range.
pub fn compare(orders: &Sums, others: &Sums) -> Compared {
    let differing = orders.differing(others).into_iter();
    let differing: Vec<Differing> = differing
        .map(|range| Differing {
            range,
            rows: orders.of(range).rows.max(others.of(range).rows),
        })
        .collect();
    Compared {
        ranges: orders.ranges().max(others.ranges()) as u64,
        differing,
    }
}

/// What is to be looked at twice.
#[derive(Default)]
struct Suspects {
    search: Vec<Look>,
    ledger: Vec<Contradicted>,
}

impl Reconciliation<'_> {
    /// Looks into the ranges that differ, and takes in what is found there.
    pub async fn narrow(
        &self,
        side: Side,
        compared: Compared,
        findings: &mut Findings,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        findings.ranges.compared += compared.ranges;
        findings.ranges.differing += compared.differing.len() as u64;
        let mut left = compared.differing;
        let mut suspects = Suspects::default();
        while !left.is_empty() {
            let next = left.split_off(left.len().saturating_sub(RANGES_AT_ONCE));
            let steps = stream::iter(next).map(|differing| self.step(side, differing));
            let mut steps = std::pin::pin!(steps.buffer_unordered(RANGES_AT_ONCE));
            while let Some(step) = steps.next().await {
                match step? {
                    Step::Few(ids) => self.suspect(side, &ids, &mut suspects).await?,
                    Step::Narrower(compared) => {
                        findings.ranges.compared += compared.ranges;
                        findings.ranges.differing += compared.differing.len() as u64;
                        left.extend(compared.differing);
                    }
                }
            }
            if suspects.len() >= SUSPECTS_AT_ONCE {
                self.settle(&mut suspects, findings).await?;
            }
            progress.tell(|| format!("{} ranges that differ are left to look into", left.len()));
        }
        self.settle(&mut suspects, findings).await
    }

    /// Looks at documents that are in no range.
    pub async fn look_at_strays(
        &self,
        ids: &[String],
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let mut suspects = Suspects::default();
        self.suspect(Side::Search, ids, &mut suspects).await?;
        self.settle(&mut suspects, findings).await
    }

    async fn suspect(
        &self,
        side: Side,
        ids: &[String],
        suspects: &mut Suspects,
    ) -> anyhow::Result<()> {
        match (side, &self.search) {
            (Side::Search, Some(search)) => {
                suspects
                    .search
                    .extend(self.search_suspects(search, ids).await?);
            }
            (Side::Search, None) => {}
            (Side::Ledger, _) => {
                let ids: Vec<OrderId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
                let more = self.ledger_suspects(&ids, Aspect::Entries).await?;
                suspects.ledger.extend(more);
            }
        }
        Ok(())
    }

    async fn settle(&self, suspects: &mut Suspects, findings: &mut Findings) -> anyhow::Result<()> {
        let Suspects { search, ledger } = std::mem::take(suspects);
        self.settle_ledger(ledger, Aspect::Entries, findings)
            .await?;
        match &self.search {
            Some(index) => self.settle_search(index, search, findings).await,
            None => Ok(()),
        }
    }

    async fn step(&self, side: Side, differing: Differing) -> anyhow::Result<Step> {
        let Differing { range, rows } = differing;
        let digits = range.digits() + 1;
        if rows <= ROWS_MAX || range.cut().is_none() {
            return Ok(Step::Few(self.ids_of(side, range).await?));
        }
        let orders = self.order_sums_of(range, digits).await?;
        Ok(Step::Narrower(match side {
            Side::Search => {
                let (documents, _) = self.document_sums(range, digits).await?;
                compare(&orders.documents, &documents)
            }
            Side::Ledger => {
                let entries = self.entry_sums_of(range, digits).await?;
                compare(&orders.entries, &entries)
            }
        }))
    }

    async fn order_sums_of(&self, range: IdRange, digits: u8) -> anyhow::Result<OrderSums> {
        let (mut sums, settledness) = (OrderSums::default(), self.moment.settledness());
        for shard in self.shards(StoreKind::Orders) {
            let span = OrderSpan::Ids(range);
            sums.merge(&order_sums(self.stores, shard, span, digits, settledness).await?);
        }
        Ok(sums)
    }

    async fn entry_sums_of(&self, range: IdRange, digits: u8) -> anyhow::Result<Sums> {
        let (mut sums, settled) = (Sums::default(), self.moment.settledness().ledger);
        for shard in self.shards(StoreKind::Accounts) {
            let span = EntrySpan::Ids(range);
            sums.merge(&entry_sums(self.stores, shard, span, digits, settled).await?);
        }
        Ok(sums)
    }

    /// Everything of a range that either side has.
    async fn ids_of(&self, side: Side, range: IdRange) -> anyhow::Result<Vec<String>> {
        let since = self.moment.since;
        let mut ids: BTreeSet<OrderId> = BTreeSet::new();
        for shard in self.shards(StoreKind::Orders) {
            ids.extend(order_ids_between(self.stores, shard, range, since).await?);
        }
        if side == Side::Ledger {
            for shard in self.shards(StoreKind::Accounts) {
                ids.extend(xids_between(self.stores, shard, range, since).await?);
            }
        }
        let mut ids: BTreeSet<String> = ids.iter().map(OrderId::to_string).collect();
        if let (Side::Search, Some(search)) = (side, &self.search) {
            ids.extend(self.document_ids(search, range).await?);
        }
        Ok(ids.into_iter().collect())
    }

    /// The documents' own ids, whatever orders they claim to be of.
    async fn document_ids(&self, search: &Search, range: IdRange) -> anyhow::Result<Vec<String>> {
        let settled = self.moment.settledness().search;
        let documents = search.ranges.documents(range, settled).await?;
        Ok(documents.into_iter().map(|found| found.id).collect())
    }
}

impl Suspects {
    fn len(&self) -> usize {
        self.search.len() + self.ledger.len()
    }
}
