//! Whether an order and its entries and holds really differ: orders are read first, entries and holds
//! after them, twice.

use super::Reconciliation;
use super::difference::{Contradiction, Difference};
use super::findings::Findings;
use super::ledger_pair;
use super::row::SeenRow;
use chrono::{DateTime, Utc};
use domain::OrderId;
use std::time::Duration;
use store::reconcile::{Movements, movements};

/// How many orders are asked for at once.
const ORDERS_AT_ONCE: usize = 1_000;
/// How long to wait before the second look.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(700);

/// What is looked for: each has a way of its own to find those who may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Entries, by ranges of ids.
    Entries,
    /// Open holds, by reading all holds.
    Holds,
}

/// An order and what contradicts it.
#[derive(Debug, Clone)]
pub struct Contradicted {
    id: OrderId,
    said: Vec<Contradiction>,
}

impl Reconciliation<'_> {
    /// Those whose entries or holds contradict them now.
    pub async fn ledger_suspects(
        &self,
        ids: &[OrderId],
        aspect: Aspect,
    ) -> anyhow::Result<Vec<Contradicted>> {
        let mut suspects = Vec::new();
        for ids in ids.chunks(ORDERS_AT_ONCE) {
            let rows = self.order_rows(ids).await?;
            let mut moved = movements(self.stores, ids).await?;
            for (id, row) in ids.iter().zip(rows) {
                let moved = moved.remove(&(*id).into()).unwrap_or_default();
                if is_before(&row, &moved, self.moment.since) {
                    continue;
                }
                let mut said = ledger_pair::compare(&row, &moved);
                said.retain(|said| said.kind.is_of_holds() == (aspect == Aspect::Holds));
                if !said.is_empty() {
                    suspects.push(Contradicted { id: *id, said });
                }
            }
        }
        Ok(suspects)
    }

    /// Looks again, and takes in what differs still.
    pub async fn settle_ledger(
        &self,
        suspects: Vec<Contradicted>,
        aspect: Aspect,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        if suspects.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        let ids: Vec<OrderId> = suspects.iter().map(|suspect| suspect.id).collect();
        let again = self.ledger_suspects(&ids, aspect).await?;
        let mut first = suspects.into_iter();
        for second in again {
            // Both are in the order asked.
            let Some(first) = first.find(|first| first.id == second.id) else {
                continue;
            };
            let stays = |said: &Contradiction| first.said.iter().any(|f| f.kind == said.kind);
            for said in second.said.into_iter().filter(stays) {
                findings.add(Difference::of(second.id.to_string(), said));
            }
        }
        Ok(())
    }
}

/// Whether the order was made before this time; of one without a row, whether all that moved was.
fn is_before(row: &SeenRow, moved: &Movements, since: DateTime<Utc>) -> bool {
    match row {
        SeenRow::Row(row) => row.created_at < since,
        SeenRow::Missing | SeenRow::Unreadable(_) => {
            let entries = moved.entries.iter().map(|entry| entry.booked_at);
            let holds = moved.holds.iter().map(|hold| hold.created_at);
            entries.chain(holds).max().is_some_and(|last| last < since)
        }
    }
}
