//! The first pass: every table and the index are read once, in parts, several at a time, and added up
//! by ranges of ids.

use super::Reconciliation;
use super::checksum;
use super::findings::Findings;
use super::ledger_judge::{Aspect, Contradicted};
use super::progress::Progress;
use domain::{OrderId, ShardName, StoreKind};
use futures_util::{StreamExt, stream};
use store::reconcile::{
    EntrySpan, HoldSpan, IdRange, OrderSpan, OrderSums, Sums, entry_spans, entry_sums, hold_spans,
    open_holds, order_spans, order_sums,
};

/// Ranges of the first pass share so many digits: there are 4,096.
const DIGITS: u8 = 3;
/// How many parts are read at the same time, of each database and of the index. An operator's command
/// has few connections, and judging holds needs some, too.
const PARTS_AT_ONCE: usize = 2;
/// How many open holds are looked at together.
const HOLDS_AT_ONCE: u32 = 1_000;
/// How many suspects are gathered before they are looked at again.
const SUSPECTS_AT_ONCE: usize = 1_000;
/// How many suspects there are at most.
const HOLDS_MAX: usize = 100_000;

/// Everything, added up.
#[derive(Debug, Default)]
pub struct Scan {
    /// What the orders say.
    pub orders: OrderSums,
    /// What the documents say.
    pub documents: Sums,
    /// What the entries say.
    pub entries: Sums,
    /// Documents that are in no range.
    pub strays: Vec<String>,
}

/// One request's worth of reading.
#[derive(Debug, Clone, Copy)]
enum Part {
    Orders(ShardName, OrderSpan),
    Entries(ShardName, EntrySpan),
    Holds(ShardName, HoldSpan),
    Documents(IdRange),
}

/// What was read.
enum Read {
    Orders(OrderSums),
    Entries(Sums),
    Holds(Vec<Contradicted>),
    Documents(Sums, Vec<String>),
}

impl Reconciliation<'_> {
    /// Reads all; holds are judged on the way, because there are no sums of them.
    pub async fn scan(
        &self,
        findings: &mut Findings,
        progress: &mut Progress,
    ) -> anyhow::Result<Scan> {
        let sources = self.sources().await?;
        let (total, mut done) = (sources.iter().map(Vec::len).sum::<usize>(), 0);
        let (mut scan, mut held) = (Scan::default(), Vec::new());
        let reads = sources.into_iter().map(|parts| {
            let reads = stream::iter(parts).map(|part| self.read(part));
            Box::pin(reads.buffer_unordered(PARTS_AT_ONCE))
        });
        let mut reads = stream::select_all(reads);
        while let Some(read) = reads.next().await {
            match read? {
                Read::Holds(suspects) => held.extend(suspects),
                read => scan.add(read),
            }
            done += 1;
            progress.tell(|| {
                let orders = scan.orders.orders;
                format!("{done} of {total} parts read, {orders} orders so far")
            });
            if held.len() > HOLDS_MAX {
                held.truncate(HOLDS_MAX);
                findings.note(format!(
                    "More than {HOLDS_MAX} orders contradict their open holds; the others are not \
                     looked at."
                ));
            }
        }
        // Not before: who is asked beside the reading would wait for its connections.
        drop(reads);
        self.settle_holds(held, findings).await?;
        if let Some(search) = &self.search {
            let strays = search.ranges.strays().await?;
            scan.strays.extend(strays.into_iter().map(|found| found.id));
        }
        Ok(scan)
    }

    async fn settle_holds(
        &self,
        mut held: Vec<Contradicted>,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        while !held.is_empty() {
            let some = held.split_off(held.len().saturating_sub(SUSPECTS_AT_ONCE));
            self.settle_ledger(some, Aspect::Holds, findings).await?;
        }
        Ok(())
    }

    /// The parts of each database and of the index.
    async fn sources(&self) -> anyhow::Result<Vec<Vec<Part>>> {
        let mut sources = Vec::new();
        for shard in self.shards(StoreKind::Orders) {
            let spans = order_spans(self.stores, shard).await?.into_iter();
            sources.push(spans.map(|span| Part::Orders(shard, span)).collect());
        }
        for shard in self.shards(StoreKind::Accounts) {
            let entries = entry_spans(self.stores, shard).await?.into_iter();
            let holds = hold_spans(self.stores, shard).await?.into_iter();
            let entries = entries.map(|span| Part::Entries(shard, span));
            let holds = holds.map(|span| Part::Holds(shard, span));
            sources.push(entries.chain(holds).collect());
        }
        if let Some(search) = &self.search {
            let ranges = search.ranges.ranges().await?.into_iter();
            sources.push(ranges.map(Part::Documents).collect());
        }
        Ok(sources)
    }

    async fn read(&self, part: Part) -> anyhow::Result<Read> {
        let settledness = self.moment.settledness();
        Ok(match part {
            Part::Orders(shard, span) => {
                Read::Orders(order_sums(self.stores, shard, span, DIGITS, settledness).await?)
            }
            Part::Entries(shard, span) => {
                let settled = settledness.ledger;
                Read::Entries(entry_sums(self.stores, shard, span, DIGITS, settled).await?)
            }
            Part::Holds(shard, span) => Read::Holds(self.read_holds(shard, span).await?),
            Part::Documents(range) => {
                let (sums, strays) = self.document_sums(range, DIGITS).await?;
                Read::Documents(sums, strays)
            }
        })
    }

    /// The open holds of a span whose orders contradict them.
    async fn read_holds(
        &self,
        shard: ShardName,
        span: HoldSpan,
    ) -> anyhow::Result<Vec<Contradicted>> {
        let (mut left, mut suspects) = (Some(span), Vec::new());
        while let Some(span) = left {
            let (xids, rest) = open_holds(self.stores, shard, span, HOLDS_AT_ONCE).await?;
            let mut ids: Vec<OrderId> = xids.into_iter().map(OrderId::from).collect();
            ids.sort_unstable();
            ids.dedup();
            suspects.extend(self.ledger_suspects(&ids, Aspect::Holds).await?);
            left = rest;
        }
        Ok(suspects)
    }

    /// Adds the documents of a range up; nothing without a search.
    pub async fn document_sums(
        &self,
        range: IdRange,
        digits: u8,
    ) -> anyhow::Result<(Sums, Vec<String>)> {
        let Some(search) = &self.search else {
            return Ok(Default::default());
        };
        let settled = self.moment.settledness().search;
        let documents = search.ranges.documents(range, settled).await?;
        Ok(checksum::sums(&documents, digits))
    }

    /// The shards of one store.
    pub fn shards(&self, store: StoreKind) -> Vec<ShardName> {
        let names = self.stores.routing().names();
        names.filter(|name| name.store == store).collect()
    }
}

impl Scan {
    fn add(&mut self, read: Read) {
        match read {
            Read::Orders(sums) => self.orders.merge(&sums),
            Read::Entries(sums) => self.entries.merge(&sums),
            Read::Documents(sums, strays) => {
                self.documents.merge(&sums);
                self.strays.extend(strays);
            }
            Read::Holds(_) => {}
        }
    }
}
