//! What an order's row and its document in search say of each other: pure.

use crate::search_index::Document;
use domain::OrderStatus;
use store::OrderRow;

/// What a row and its document say of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Same,
    /// The document is absent or older: right while the follower is on its way.
    Behind(String),
    /// They contradict each other.
    Wrong(String),
}

/// Compares the row with its document.
pub fn compare(row: &OrderRow, document: Option<&Document>) -> Comparison {
    let Some(document) = document else {
        return Comparison::Behind(format!("row version {}, no document", row.version));
    };
    let versions = format!(
        "row version {}: {}; document: {}",
        row.version,
        describe(&as_document(row)),
        describe(document)
    );
    if document.version < row.version {
        Comparison::Behind(versions)
    } else if document.version == row.version && same_words(document, &as_document(row)) {
        Comparison::Same
    } else {
        Comparison::Wrong(versions)
    }
}

/// The decision writes the reason down without a new version, so it counts once the order has ended.
fn same_words(document: &Document, must: &Document) -> bool {
    let open = must.status == OrderStatus::Processing.as_str();
    let reason = if open { &document.reason } else { &must.reason };
    *document
        == Document {
            reason: reason.clone(),
            ..must.clone()
        }
}

/// What the document of this row must be.
fn as_document(row: &OrderRow) -> Document {
    Document {
        order_id: row.id.to_string(),
        status: row.state.status().as_str().to_owned(),
        reason: row.reason.map(|reason| reason.as_str().to_owned()),
        amount: row.amount,
        captured: row.captured,
        refunded: row.refunded,
        currency: row.currency.to_string(),
        version: row.version,
    }
}

/// The document in one line.
pub fn describe(document: &Document) -> String {
    let reason = document.reason.as_deref().unwrap_or("no reason");
    format!(
        "{} version {}, {}, {reason}, {} {} of which {} captured and {} refunded",
        document.order_id,
        document.version,
        document.status,
        document.amount,
        document.currency,
        document.captured,
        document.refunded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_orders::samples::row;
    use domain::OrderState;

    #[test]
    fn a_document_that_says_what_its_row_says_is_the_same() {
        let row = row();
        assert_eq!(compare(&row, Some(&as_document(&row))), Comparison::Same);
    }

    #[test]
    fn an_older_document_is_behind_and_a_newer_one_is_wrong() {
        let row = row();
        let of_version = |version| Document {
            version,
            ..as_document(&row)
        };
        assert!(matches!(compare(&row, None), Comparison::Behind(_)));
        let older = of_version(1);
        assert!(matches!(compare(&row, Some(&older)), Comparison::Behind(_)));
        let newer = of_version(3);
        assert!(matches!(compare(&row, Some(&newer)), Comparison::Wrong(_)));
    }

    #[test]
    fn the_reason_of_an_open_order_is_not_shown_yet_and_does_not_count() {
        let mut row = row();
        row.state = OrderState::Cancelling;
        let mut document = as_document(&row);
        document.reason = None;
        assert_eq!(compare(&row, Some(&document)), Comparison::Same);
    }

    #[test]
    fn any_other_word_under_the_same_version_is_wrong() {
        let row = row();
        let changes: [fn(&mut Document); 6] = [
            |d| d.status = "paid".into(),
            |d| d.reason = None,
            |d| d.amount += 1,
            |d| d.captured += 1,
            |d| d.refunded += 1,
            |d| d.currency = "EUR".into(),
        ];
        for change in changes {
            let mut document = as_document(&row);
            change(&mut document);
            assert!(matches!(
                compare(&row, Some(&document)),
                Comparison::Wrong(_)
            ));
        }
    }
}
