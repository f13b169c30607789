//! What is read between two writes: every change of an order in the order in which it was made, the
//! newest of each for the index, and the transactions that are done once all of it is acknowledged.

use crate::rendered_document::RenderedDocument;
use crate::stream_position::{Position, TransactionId};
use domain::OrderId;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What a change takes besides its JSON, in bytes.
const OVERHEAD_BYTES: usize = 250;

/// A change that cannot become a document, kept with its cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Which order.
    pub order_id: OrderId,
    /// Its shard.
    pub shard: String,
    /// The row's version, as text: it may be what does not fit.
    pub version: String,
    /// Why.
    pub reason: String,
    /// When, RFC 3339.
    pub failed_at: String,
    /// What was refused, where there is anything to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
}

/// Changes and the transactions they complete.
#[derive(Debug, Default)]
pub struct Batch {
    changes: Vec<Arc<RenderedDocument>>,
    newest: HashMap<OrderId, Arc<RenderedDocument>>,
    dead_letters: Vec<DeadLetter>,
    transactions: Position,
    bytes: usize,
}

impl Batch {
    /// Adds a change. The index gets it unless a newer version of the order is here.
    pub fn add(&mut self, document: RenderedDocument) {
        let document = Arc::new(document);
        self.bytes += OVERHEAD_BYTES + document.json.len();
        self.changes.push(Arc::clone(&document));
        match self.newest.get(&document.order_id) {
            Some(known) if known.version > document.version => {}
            _ => {
                self.newest.insert(document.order_id, document);
            }
        }
    }

    /// Adds what cannot be a document.
    pub fn add_dead_letter(&mut self, letter: DeadLetter) {
        self.bytes += letter.reason.len();
        self.dead_letters.push(letter);
    }

    /// A transaction whose every change is in this batch or an earlier one.
    pub fn complete(&mut self, id: TransactionId) {
        self.transactions.insert(id);
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty() && self.dead_letters.is_empty() && self.transactions.is_empty()
    }

    /// Whether it holds any document.
    pub fn has_documents(&self) -> bool {
        !self.newest.is_empty()
    }

    /// Whether it has reached a limit.
    pub fn is_full(&self, documents_max: usize, bytes_max: usize) -> bool {
        let count = self.newest.len() + self.dead_letters.len();
        count >= documents_max || self.bytes >= bytes_max
    }

    /// Every change, in the order in which they were made; they are here no more.
    pub fn take_changes(&mut self) -> Vec<Arc<RenderedDocument>> {
        std::mem::take(&mut self.changes)
    }

    /// The newest document of each order, the dead letters, and the transactions they complete.
    pub fn into_parts(self) -> (Vec<Arc<RenderedDocument>>, Vec<DeadLetter>, Position) {
        let documents = self.newest.into_values().collect();
        (documents, self.dead_letters, self.transactions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::document;
    use crate::gtid_set::{Gtid, Source};
    use crate::rows::OrderRow;
    use proptest::prelude::*;

    fn version(id: u8, version: u64) -> RenderedDocument {
        let time = "2026-11-21T09:05:07.000042Z";
        let row = OrderRow {
            id: [id; 16],
            tenant: "demo".into(),
            merchant: "shop".into(),
            state: 1,
            reason: 0,
            version,
            currency: "USD".into(),
            amount: 1,
            captured: 0,
            refunded: 0,
            branches: "[]".into(),
            reference: None,
            description: None,
            accepted_at: time.into(),
            created_at: time.into(),
            updated_at: time.into(),
        };
        document(row, "orders-0").unwrap().try_into().unwrap()
    }

    proptest! {
        #[test]
        fn a_batch_keeps_the_newest_version_of_each_order(
            changes in proptest::collection::vec((0_u8..5, 1_u64..9), 0..40)
        ) {
            let mut batch = Batch::default();
            let mut newest = HashMap::new();
            for &(id, v) in &changes {
                batch.add(version(id, v));
                let known = newest.entry(OrderId::from_bytes([id; 16])).or_insert(v);
                *known = v.max(*known);
            }
            let made = |d: &Arc<RenderedDocument>| (d.order_id.as_bytes()[0], d.version);
            prop_assert_eq!(batch.take_changes().iter().map(made).collect::<Vec<_>>(), changes);
            let (documents, _, _) = batch.into_parts();
            let found: HashMap<_, _> = documents.iter().map(|d| (d.order_id, d.version)).collect();
            prop_assert_eq!(found, newest);
        }
    }

    #[test]
    fn a_batch_is_full_by_number_or_by_size() {
        let mut batch = Batch::default();
        assert!(batch.is_empty() && !batch.is_full(1, 1));
        batch.add(version(1, 1));
        batch.add(version(1, 2));
        assert!(batch.is_full(1, 1_000_000) && !batch.is_full(2, 1_000_000));
        assert!(batch.is_full(100, 500));
    }

    #[test]
    fn a_transaction_without_our_rows_still_moves_the_position() {
        let mut batch = Batch::default();
        let source = Source {
            uuid: [1; 16],
            tag: None,
        };
        batch.complete(Gtid { source, number: 7 }.into());
        assert!(!batch.is_empty());
        let (documents, dead, transactions) = batch.into_parts();
        assert!(documents.is_empty() && dead.is_empty() && !transactions.is_empty());
    }
}
