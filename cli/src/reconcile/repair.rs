//! Makes search say what the rows say. Never touches a database.

use super::difference::Kind;
use super::findings::Findings;
use super::row::{SeenRow, document};
use super::search_judge::Look;
use super::{Reconciliation, Search};
use cdc_sync::bulk::Outcome;
use cdc_sync::document::Document;
use cdc_sync::repair::{Orphan, delete, refresh, write};
use cdc_sync::search_client::SearchError;
use domain::OrderId;
use std::collections::HashMap;
use store::Stores;
use store::reconcile::movements;

/// How many documents one request writes.
const DOCUMENTS_AT_ONCE: usize = 500;

/// What became of the differences: whether search says the right thing now, by their places.
struct Repaired<'a> {
    done: Vec<bool>,
    findings: &'a mut Findings,
}

impl Reconciliation<'_> {
    /// Repairs what can be, and answers of each whether search says the right thing now. What
    /// Elasticsearch does not take stays a difference.
    pub async fn repair(
        &self,
        search: &Search,
        differing: &[Look],
        findings: &mut Findings,
    ) -> anyhow::Result<Vec<bool>> {
        let client = &search.ranges.client;
        let mut repaired = Repaired {
            done: vec![false; differing.len()],
            findings,
        };
        for chunk in self.writes(differing).chunks(DOCUMENTS_AT_ONCE) {
            let (places, documents): (Vec<usize>, Vec<Document>) = chunk.iter().cloned().unzip();
            repaired.note(&places, write(client, &documents).await);
        }
        if self.delete_orphans {
            let orphans = self.orphans(differing).await?;
            for chunk in orphans.chunks(DOCUMENTS_AT_ONCE) {
                let (places, orphans): (Vec<usize>, Vec<Orphan>) = chunk.iter().cloned().unzip();
                repaired.note(&places, delete(client, &orphans).await);
            }
        }
        if repaired.done.contains(&true)
            && let Err(error) = refresh(client).await
        {
            repaired.findings.refused(error.to_string());
        }
        Ok(repaired.done)
    }

    fn writes(&self, differing: &[Look]) -> Vec<(usize, Document)> {
        let places = differing.iter().enumerate();
        places
            .filter_map(|(place, look)| Some((place, rewritten(look, self.stores)?)))
            .collect()
    }

    /// The documents without a row that have nothing in the ledger either: an order that was lost
    /// left entries or holds, and then its document is the last that tells of it.
    async fn orphans(&self, differing: &[Look]) -> anyhow::Result<Vec<(usize, Orphan)>> {
        let places = differing.iter().enumerate();
        let without_row: Vec<(usize, Orphan)> = places
            .filter_map(|(place, look)| Some((place, orphan(look)?)))
            .collect();
        let ids = without_row
            .iter()
            .filter_map(|(_, orphan)| orphan.id.parse().ok());
        let ids: Vec<OrderId> = ids.collect();
        let mut moved = HashMap::new();
        for ids in ids.chunks(DOCUMENTS_AT_ONCE) {
            moved.extend(movements(self.stores, ids).await?);
        }
        let is_known = |orphan: &Orphan| {
            let id: Option<OrderId> = orphan.id.parse().ok();
            id.is_some_and(|id| moved.contains_key(&id.into()))
        };
        Ok(without_row
            .into_iter()
            .filter(|(_, orphan)| !is_known(orphan))
            .collect())
    }
}

/// The document that the row makes, where that mends the difference.
fn rewritten(look: &Look, stores: &Stores) -> Option<Document> {
    match look.said.as_ref()?.kind {
        Kind::MissingDocument | Kind::OlderDocument | Kind::DifferingDocument => {
            let SeenRow::Row(row) = &look.row else {
                return None;
            };
            let shard = stores.routing().order_shard(row.id).to_string();
            document(row, &shard).ok()
        }
        Kind::DocumentWithoutRow
        | Kind::NewerDocument
        | Kind::UnreadableRow
        | Kind::PaidWithoutEntries
        | Kind::PaidWithOtherEntries
        | Kind::EntriesOfUnpaidOrder
        | Kind::EntriesWithoutOrder
        | Kind::HoldOfEndedOrder
        | Kind::HoldWithoutOrder => None,
    }
}

fn orphan(look: &Look) -> Option<Orphan> {
    let found = look.found.as_ref()?;
    (look.said.as_ref()?.kind == Kind::DocumentWithoutRow).then(|| Orphan {
        id: found.id.clone(),
        version: found.version,
    })
}

impl Repaired<'_> {
    /// Takes in what became of one request. A document that met something newer is no longer what was
    /// looked at.
    fn note(&mut self, places: &[usize], answer: Result<Vec<Outcome>, SearchError>) {
        let outcomes = match answer {
            Ok(outcomes) => outcomes,
            Err(error) => return self.findings.refused(error.to_string()),
        };
        for (place, outcome) in places.iter().zip(outcomes) {
            match outcome {
                Outcome::Written => self.done[*place] = true,
                Outcome::Newer => self.findings.note(
                    "Some documents changed while they were repaired, and were left alone: run \
                     it again."
                        .to_owned(),
                ),
                Outcome::Transient(cause) | Outcome::Rejected(cause) | Outcome::Fatal(cause) => {
                    self.findings.refused(cause);
                }
            }
        }
    }
}
