//! What goes to the index in one bulk: the newest version of each order, and the transactions that
//! are done once it is acknowledged.

use crate::document::Document;
use crate::gtid_set::{Gtid, GtidSet};
use domain::OrderId;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

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

/// Documents and the transactions they complete.
#[derive(Debug, Default)]
pub struct Batch {
    documents: HashMap<OrderId, Document>,
    dead_letters: Vec<DeadLetter>,
    transactions: GtidSet,
    bytes: usize,
}

impl Batch {
    /// Adds a document unless a newer version of it is there already.
    pub fn add(&mut self, document: Document) {
        let bytes = estimate(&document);
        match self.documents.get_mut(&document.order_id) {
            Some(known) if known.version > document.version => {}
            Some(known) => *known = document,
            None => {
                self.bytes += bytes;
                self.documents.insert(document.order_id, document);
            }
        }
    }

    /// Adds what cannot be a document.
    pub fn add_dead_letter(&mut self, letter: DeadLetter) {
        self.bytes += letter.reason.len();
        self.dead_letters.push(letter);
    }

    /// A transaction whose every change is in this batch or an earlier one.
    pub fn complete(&mut self, gtid: Gtid) {
        self.transactions.insert(gtid);
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty() && self.dead_letters.is_empty() && self.transactions.is_empty()
    }

    /// Whether it has reached a limit.
    pub fn is_full(&self, documents_max: usize, bytes_max: usize) -> bool {
        let count = self.documents.len() + self.dead_letters.len();
        count >= documents_max || self.bytes >= bytes_max
    }

    /// The documents, the dead letters, and the transactions they complete.
    pub fn into_parts(self) -> (Vec<Document>, Vec<DeadLetter>, GtidSet) {
        let documents = self.documents.into_values().collect();
        (documents, self.dead_letters, self.transactions)
    }
}

/// The fixed fields and the action line, and the texts that vary.
fn estimate(document: &Document) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    700 + text(&document.reference) + text(&document.description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::document;
    use crate::gtid_set::Source;
    use crate::rows::OrderRow;
    use proptest::prelude::*;

    fn version(id: u8, version: u64) -> Document {
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
        document(row, "orders-0").unwrap()
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
        batch.complete(Gtid { source, number: 7 });
        assert!(!batch.is_empty());
        let (documents, dead, transactions) = batch.into_parts();
        assert!(documents.is_empty() && dead.is_empty() && transactions.len() == 1);
    }
}
