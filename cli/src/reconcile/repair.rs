//! Makes search say what the rows say. Never touches a database.

use super::Search;
use super::difference::Kind;
use super::findings::Findings;
use super::row::{SeenRow, document};
use super::search_judge::Look;
use crate::search_ranges::NotAnswered;
use cdc_sync::bulk::Outcome;
use cdc_sync::document::Document;
use cdc_sync::repair::{Orphan, delete, refresh, write};
use store::Stores;

/// How many documents one request writes.
const DOCUMENTS_AT_ONCE: usize = 500;

/// Repairs what can be, and answers of each whether search says the right thing now.
pub async fn repair(
    search: &Search,
    stores: &Stores,
    differing: &[Look],
    findings: &mut Findings,
) -> anyhow::Result<Vec<bool>> {
    let mut repaired = vec![false; differing.len()];
    let mut writes: Vec<(usize, Document)> = Vec::new();
    let mut deletes: Vec<(usize, Orphan)> = Vec::new();
    for (place, look) in differing.iter().enumerate() {
        match remedy(look, stores) {
            Some(Remedy::Write(document)) => writes.push((place, *document)),
            Some(Remedy::Delete(orphan)) => deletes.push((place, orphan)),
            None => {}
        }
    }
    for chunk in writes.chunks(DOCUMENTS_AT_ONCE) {
        let (places, documents): (Vec<usize>, Vec<Document>) = chunk.iter().cloned().unzip();
        let outcomes = write(&search.ranges.client, &documents)
            .await
            .map_err(NotAnswered)?;
        note(&mut repaired, &places, outcomes, findings);
    }
    for chunk in deletes.chunks(DOCUMENTS_AT_ONCE) {
        let (places, orphans): (Vec<usize>, Vec<Orphan>) = chunk.iter().cloned().unzip();
        let outcomes = delete(&search.ranges.client, &orphans)
            .await
            .map_err(NotAnswered)?;
        note(&mut repaired, &places, outcomes, findings);
    }
    if !(writes.is_empty() && deletes.is_empty()) {
        refresh(&search.ranges.client).await.map_err(NotAnswered)?;
    }
    Ok(repaired)
}

enum Remedy {
    Write(Box<Document>),
    Delete(Orphan),
}

fn remedy(look: &Look, stores: &Stores) -> Option<Remedy> {
    match look.said.as_ref()?.kind {
        Kind::MissingDocument | Kind::OlderDocument | Kind::DifferingDocument => {
            let SeenRow::Row(row) = &look.row else {
                return None;
            };
            let shard = stores.routing().order_shard(row.id).to_string();
            let document = document(row, &shard).ok()?;
            Some(Remedy::Write(Box::new(document)))
        }
        Kind::DocumentWithoutRow => look.found.as_ref().map(|found| {
            Remedy::Delete(Orphan {
                id: found.id.clone(),
                version: found.version,
            })
        }),
        Kind::NewerDocument
        | Kind::UnreadableRow
        | Kind::PaidWithoutEntries
        | Kind::PaidWithOtherEntries
        | Kind::EntriesOfUnpaidOrder
        | Kind::EntriesWithoutOrder
        | Kind::HoldOfEndedOrder
        | Kind::HoldWithoutOrder => None,
    }
}

/// One that met something newer is no longer what was looked at.
fn note(repaired: &mut [bool], places: &[usize], outcomes: Vec<Outcome>, findings: &mut Findings) {
    for (place, outcome) in places.iter().zip(outcomes) {
        match outcome {
            Outcome::Written => repaired[*place] = true,
            Outcome::Newer => findings.note(
                "Some documents changed while they were repaired, and were left alone: run it \
                 again."
                    .to_owned(),
            ),
            Outcome::Transient(cause) | Outcome::Rejected(cause) | Outcome::Fatal(cause) => {
                findings.note(format!("Elasticsearch refused a repair: {cause}"));
            }
        }
    }
}
