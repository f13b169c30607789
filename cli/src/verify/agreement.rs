//! INV-6: each order's row and its document in search say the same.
//!
//! Rows are read first and documents after them, then the other way round. A document that is behind
//! its row is on its way until the follower says that everything committed by then is in the index;
//! both are read again after that, and what still differs is a breach.

use super::comparison::{Comparison, compare, describe};
use super::findings::{Breach, Finding};
use crate::cause;
use crate::search_index::{Document, SearchError, SearchIndex};
use crate::settings::Settings;
use chrono::{DateTime, Utc};
use domain::OrderId;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use store::{Lookup, OrderRow, StoreError, Stores};

const PAGE: u32 = 1_000;
/// How many differences are looked at twice; more are told by their number.
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
            suspects.add(compare_rows(&index, rows).await?);
        }
    }
    compare_documents(&index, stores, &mut suspects).await?;
    settle(&index, stores, suspects).await
}

/// A row that differs from its document.
struct Suspect {
    id: OrderId,
    version: u64,
    /// The row was committed by then.
    seen_at: DateTime<Utc>,
    behind: bool,
    what: String,
}

#[derive(Default)]
struct Suspects {
    list: BTreeMap<OrderId, Suspect>,
    more: u64,
    /// Documents without a row.
    breaches: Vec<Breach>,
}

impl Suspects {
    fn add(&mut self, found: Vec<Suspect>) {
        for suspect in found {
            if self.list.len() < SUSPECTS_MAX || self.list.contains_key(&suspect.id) {
                self.list.insert(suspect.id, suspect);
            } else {
                self.more += 1;
            }
        }
    }
}

async fn compare_rows(
    index: &SearchIndex,
    rows: Vec<OrderRow>,
) -> Result<Vec<Suspect>, SearchError> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    let seen_at = Utc::now();
    let documents = index.get(&ids).await?;
    let differing = rows
        .iter()
        .zip(documents)
        .filter_map(|(row, document)| suspect(row, document.as_ref(), seen_at));
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
        let seen_at = Utc::now();
        for ((_, document), row) in parsed.iter().zip(rows) {
            match row {
                Lookup::Found(row) => {
                    suspects.add(ahead(&row, document, seen_at).into_iter().collect());
                }
                Lookup::Missing => suspects.breaches.push(without_row(document)),
                Lookup::Unreachable(cause) => return Err(Unchecked::Shard(cause)),
            }
        }
    }
}

/// Looks again at what differed, once the follower has had its chance.
async fn settle(
    index: &SearchIndex,
    stores: &Stores,
    suspects: Suspects,
) -> Result<Finding, Unchecked> {
    let mut finding = Finding {
        breaches: suspects.breaches,
        ..Finding::default()
    };
    let list: Vec<Suspect> = suspects.list.into_values().collect();
    if let Some(newest) = list.iter().map(|suspect| suspect.seen_at).max() {
        wait_for(index, newest).await?;
    }
    for page in list.chunks(PAGE as usize) {
        settle_page(index, stores, page, &mut finding).await?;
    }
    if suspects.more > 0 {
        finding.breaches.push(Breach {
            what: format!("{} more orders differ from their documents", suspects.more),
            rows: Vec::new(),
        });
    }
    Ok(finding)
}

async fn settle_page(
    index: &SearchIndex,
    stores: &Stores,
    page: &[Suspect],
    finding: &mut Finding,
) -> Result<(), Unchecked> {
    // What was committed up to here must be in the documents that are read after it.
    let as_of = index.as_of().await?;
    let ids: Vec<OrderId> = page.iter().map(|suspect| suspect.id).collect();
    let mut rows = Vec::with_capacity(ids.len());
    for lookup in stores.orders.find(&ids).await {
        match lookup {
            Lookup::Found(row) => rows.push(*row),
            Lookup::Missing => {}
            Lookup::Unreachable(cause) => return Err(Unchecked::Shard(cause)),
        }
    }
    let first_looks: HashMap<OrderId, &Suspect> = page.iter().map(|s| (s.id, s)).collect();
    for suspect in compare_rows(index, rows).await? {
        let due = first_looks.get(&suspect.id).is_some_and(|first| {
            let passed = as_of.is_some_and(|as_of| as_of >= first.seen_at);
            passed && first.version == suspect.version
        });
        if suspect.behind && !due {
            finding.in_flight += 1;
        } else {
            finding.breaches.push(Breach {
                what: format!("{} and its document differ", suspect.id),
                rows: vec![suspect.what],
            });
        }
    }
    Ok(())
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

fn suspect(row: &OrderRow, document: Option<&Document>, seen_at: DateTime<Utc>) -> Option<Suspect> {
    let (behind, what) = match compare(row, document) {
        Comparison::Same => return None,
        Comparison::Behind(what) => (true, what),
        Comparison::Wrong(what) => (false, what),
    };
    Some(Suspect {
        id: row.id,
        version: row.version,
        seen_at,
        behind,
        what,
    })
}

fn ahead(row: &OrderRow, document: &Document, seen_at: DateTime<Utc>) -> Option<Suspect> {
    suspect(row, Some(document), seen_at).filter(|suspect| !suspect.behind)
}

fn without_row(document: &Document) -> Breach {
    Breach {
        what: format!("the document {} has no order row", document.order_id),
        rows: vec![describe(document)],
    }
}
