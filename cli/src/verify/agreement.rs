//! INV-6: each order's row and its document in search say the same.
//!
//! Rows are read first and documents after them, then the other way round. A document that is behind
//! its row is on its way until the follower says that everything committed by then is in the index;
//! both are read again after that, documents first so that no row is older than its document, and
//! what still differs is a breach. All times are those of the order shards' own clocks, as the
//! follower's are.

use super::comparison::{Comparison, compare, describe};
use super::findings::{Breach, Finding};
use crate::cause;
use crate::search_index::{Document, SearchError, SearchIndex};
use crate::settings::Settings;
use chrono::{DateTime, Utc};
use domain::{OrderId, ShardName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use store::{Lookup, OrderRow, StoreError, Stores};

const PAGE: u32 = 1_000;
/// How many differences are looked at twice; of more nothing is known.
const SUSPECTS_MAX: usize = 10_000;
/// How long to wait for the follower to pass what was seen.
const CATCH_UP: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Why it could not be checked.
#[derive(Debug, thiserror::Error)]
enum Unchecked {
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Shard(String),
}

/// Checks it.
pub async fn check(settings: &Settings, stores: &Stores) -> Finding {
    match compare_all(settings, stores).await {
        Ok(finding) => finding,
        Err(error) => Finding::unchecked(cause::told(&error)),
    }
}

async fn compare_all(settings: &Settings, stores: &Stores) -> Result<Finding, Unchecked> {
    let index = SearchIndex::new(settings)?;
    let mut suspects = Suspects::default();
    for shard in stores.orders.shards() {
        let mut after = 0;
        loop {
            let rows = stores.orders.page(shard, after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            let seen_at = stores.orders.now(shard).await?;
            suspects.add(compare_rows(&index, &rows).await?, seen_at);
        }
    }
    compare_documents(&index, stores, &mut suspects).await?;
    settle(&index, stores, suspects).await
}

/// A row that differs from its document.
#[derive(Debug)]
struct Difference {
    id: OrderId,
    version: u64,
    behind: bool,
    what: String,
}

/// A difference that is to be looked at again.
#[derive(Debug)]
struct Suspect {
    version: u64,
    /// The row was committed by then, by its shard's clock.
    seen_at: DateTime<Utc>,
}

#[derive(Default)]
struct Suspects {
    list: BTreeMap<OrderId, Suspect>,
    more: u64,
    /// Documents without a row.
    breaches: Vec<Breach>,
}

impl Suspects {
    fn add(&mut self, found: Vec<Difference>, seen_at: DateTime<Utc>) {
        for Difference { id, version, .. } in found {
            if self.list.len() < SUSPECTS_MAX || self.list.contains_key(&id) {
                self.list.insert(id, Suspect { version, seen_at });
            } else {
                self.more += 1;
            }
        }
    }

    /// What is known before the second look.
    fn finding(&mut self) -> Finding {
        let more = self.more;
        let unchecked = (more > 0).then(|| {
            format!(
                "{more} more orders differ from their documents, too many to be looked at again: \
                 they may only be behind"
            )
        });
        Finding {
            breaches: std::mem::take(&mut self.breaches),
            unchecked: unchecked.into_iter().collect(),
            ..Finding::default()
        }
    }
}

async fn compare_rows(
    index: &SearchIndex,
    rows: &[OrderRow],
) -> Result<Vec<Difference>, SearchError> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    let documents = index.get(&ids).await?;
    let differing = rows
        .iter()
        .zip(documents)
        .filter_map(|(row, document)| difference(row, document.as_ref()));
    Ok(differing.collect())
}

/// The other direction finds documents that have no row, and what the first missed because the row
/// changed in between. The row is read after the document, so it may only be newer.
async fn compare_documents(
    index: &SearchIndex,
    stores: &Stores,
    suspects: &mut Suspects,
) -> Result<(), Unchecked> {
    let mut after: Option<String> = None;
    loop {
        let documents = index.page_after(after.as_deref()).await?;
        let Some(last) = documents.last() else {
            return Ok(());
        };
        after = Some(last.order_id.clone());
        let parsed: Vec<(OrderId, Document)> = documents
            .into_iter()
            .filter_map(|document| match document.order_id.parse() {
                Ok(id) => Some((id, document)),
                Err(_) => {
                    suspects.breaches.push(without_row(&document));
                    None
                }
            })
            .collect();
        let ids: Vec<OrderId> = parsed.iter().map(|(id, _)| *id).collect();
        let rows = stores.orders.find(&ids).await;
        let mut of_shard: BTreeMap<ShardName, Vec<Difference>> = BTreeMap::new();
        for ((id, document), row) in parsed.iter().zip(rows) {
            match row {
                Lookup::Found(row) => {
                    let shard = stores.routing().order_shard(*id);
                    of_shard
                        .entry(shard)
                        .or_default()
                        .extend(ahead(&row, document));
                }
                Lookup::Missing => suspects.breaches.push(without_row(document)),
                // A breach of its own, found where the rows are read.
                Lookup::Unreadable(_) => {}
                Lookup::Unreachable(cause) => return Err(Unchecked::Shard(cause)),
            }
        }
        of_shard.retain(|_, differing| !differing.is_empty());
        for (shard, differing) in of_shard {
            suspects.add(differing, stores.orders.now(shard).await?);
        }
    }
}

/// Looks again at what differed, once the follower has had its chance.
async fn settle(
    index: &SearchIndex,
    stores: &Stores,
    mut suspects: Suspects,
) -> Result<Finding, Unchecked> {
    let mut finding = suspects.finding();
    let list: Vec<(OrderId, Suspect)> = suspects.list.into_iter().collect();
    if let Some(newest) = list.iter().map(|(_, suspect)| suspect.seen_at).max() {
        wait_for(index, newest).await?;
    }
    for page in list.chunks(PAGE as usize) {
        settle_page(index, stores, page, &mut finding).await?;
    }
    Ok(finding)
}

async fn settle_page(
    index: &SearchIndex,
    stores: &Stores,
    page: &[(OrderId, Suspect)],
    finding: &mut Finding,
) -> Result<(), Unchecked> {
    // What was committed up to here must be in the documents that are read after it.
    let as_of = index.as_of().await?;
    let ids: Vec<OrderId> = page.iter().map(|(id, _)| *id).collect();
    let texts: Vec<String> = ids.iter().map(OrderId::to_string).collect();
    // Documents first: a row may then be newer than its document, never older.
    let documents = index.get(&texts).await?;
    let rows = stores.orders.find(&ids).await;
    for (((_, first), document), row) in page.iter().zip(documents).zip(rows) {
        let row = match row {
            Lookup::Found(row) => row,
            Lookup::Missing | Lookup::Unreadable(_) => continue,
            Lookup::Unreachable(cause) => return Err(Unchecked::Shard(cause)),
        };
        if let Some(difference) = difference(&row, document.as_ref()) {
            judge(first, difference, as_of, finding);
        }
    }
    Ok(())
}

/// Whether what still differs is on its way or a breach.
fn judge(first: &Suspect, again: Difference, as_of: Option<DateTime<Utc>>, finding: &mut Finding) {
    let passed = as_of.is_some_and(|as_of| as_of >= first.seen_at);
    let due = passed && first.version == again.version;
    if again.behind && !due {
        finding.in_flight += 1;
    } else {
        finding.breaches.push(Breach {
            what: format!("{} and its document differ", again.id),
            rows: vec![again.what],
        });
    }
}

async fn wait_for(index: &SearchIndex, newest: DateTime<Utc>) -> Result<(), SearchError> {
    let started = Instant::now();
    while started.elapsed() < CATCH_UP {
        if index.as_of().await?.is_some_and(|as_of| as_of >= newest) {
            break;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(())
}

fn difference(row: &OrderRow, document: Option<&Document>) -> Option<Difference> {
    let (behind, what) = match compare(row, document) {
        Comparison::Same => return None,
        Comparison::Behind(what) => (true, what),
        Comparison::Wrong(what) => (false, what),
    };
    Some(Difference {
        id: row.id,
        version: row.version,
        behind,
        what,
    })
}

fn ahead(row: &OrderRow, document: &Document) -> Option<Difference> {
    difference(row, Some(document)).filter(|difference| !difference.behind)
}

fn without_row(document: &Document) -> Breach {
    Breach {
        what: format!("the document {} has no order row", document.order_id),
        rows: vec![describe(document)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn difference(number: u32, version: u64, behind: bool) -> Difference {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Difference {
            id: OrderId::from_bytes(bytes),
            version,
            behind,
            what: String::new(),
        }
    }

    #[test]
    fn more_differences_than_can_be_looked_at_twice_are_unchecked_and_no_breach() {
        let mut suspects = Suspects::default();
        let numbers = 0..SUSPECTS_MAX as u32 + 5;
        let found: Vec<_> = numbers.map(|number| difference(number, 1, true)).collect();
        suspects.add(found, DateTime::UNIX_EPOCH);
        // One that is known already takes no more room.
        suspects.add(vec![difference(0, 2, true)], DateTime::UNIX_EPOCH);
        let finding = suspects.finding();
        assert_eq!(finding.breaches, []);
        assert_eq!(finding.unchecked.len(), 1);
        assert!(finding.unchecked[0].starts_with("5 more"), "{finding:?}");
        assert_eq!(suspects.list.len(), SUSPECTS_MAX);
    }

    #[test]
    fn what_is_behind_is_a_breach_only_once_the_follower_has_passed_it() {
        let seen_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(10);
        let first = Suspect {
            version: 2,
            seen_at,
        };
        let judged = |again, as_of| {
            let mut finding = Finding::default();
            judge(&first, again, as_of, &mut finding);
            (finding.in_flight, finding.breaches.len())
        };
        let before = Some(seen_at - TimeDelta::microseconds(1));
        assert_eq!(judged(difference(1, 2, true), None), (1, 0));
        assert_eq!(judged(difference(1, 2, true), before), (1, 0));
        assert_eq!(judged(difference(1, 2, true), Some(seen_at)), (0, 1));
        // The row has gone on since: its newer version may be on its way.
        assert_eq!(judged(difference(1, 3, true), Some(seen_at)), (1, 0));
        assert_eq!(judged(difference(1, 2, false), before), (0, 1));
    }
}
