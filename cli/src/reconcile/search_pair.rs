//! What an order's row and its document say of each other, field by field. Pure.

use super::difference::{Contradiction, Kind};
use super::row::{SeenRow, document, is_open};
use crate::search_ranges::Found;
use serde_json::Value;
use std::collections::BTreeSet;
use store::OrderRow;

/// What contradicts, if anything does. The row is of this shard.
pub fn compare(row: &SeenRow, found: Option<&Found>, shard: &str) -> Option<Contradiction> {
    match (row, found) {
        (SeenRow::Missing, None) => None,
        (SeenRow::Missing, Some(found)) => Some(Contradiction {
            kind: Kind::DocumentWithoutRow,
            says: vec!["order: not there".to_owned(), describe(found)],
        }),
        (SeenRow::Unreadable(cause), found) => Some(Contradiction {
            kind: Kind::UnreadableRow,
            says: [format!("order: {cause}")]
                .into_iter()
                .chain(found.map(describe))
                .collect(),
        }),
        (SeenRow::Row(row), None) => Some(Contradiction {
            kind: Kind::MissingDocument,
            says: vec![describe_row(row), "document: not there".to_owned()],
        }),
        (SeenRow::Row(row), Some(found)) => compare_both(row, found, shard),
    }
}

fn compare_both(row: &OrderRow, found: &Found, shard: &str) -> Option<Contradiction> {
    let version = found.source["version"].as_u64().unwrap_or(found.version);
    let kind = if version.max(found.version) > row.version {
        Kind::NewerDocument
    } else if version.min(found.version) < row.version {
        Kind::OlderDocument
    } else {
        let says = differing_fields(row, found, shard);
        let kind = Kind::DifferingDocument;
        return (!says.is_empty()).then_some(Contradiction { kind, says });
    };
    Some(Contradiction {
        kind,
        says: vec![describe_row(row), describe(found)],
    })
}

/// A line for each field in which the document is not what the row makes of it.
fn differing_fields(row: &OrderRow, found: &Found, shard: &str) -> Vec<String> {
    let must = document(row, shard).map_err(|error| error.to_string());
    let must = must.and_then(|must| serde_json::to_value(must).map_err(|e| e.to_string()));
    let must = match must {
        Ok(must) => must,
        Err(cause) => return vec![format!("order: no document can be made of it: {cause}")],
    };
    let keys = |value: &Value| -> Vec<String> {
        let fields = value.as_object().into_iter().flatten();
        fields.map(|(name, _)| name.clone()).collect()
    };
    let names: BTreeSet<String> = keys(&must).into_iter().chain(keys(&found.source)).collect();
    // The decision writes the reason down without a new version.
    let not_shown_yet = |name: &str| name == "reason" && is_open(row.state);
    names
        .into_iter()
        .filter(|name| must[name] != found.source[name] && !not_shown_yet(name))
        .map(|name| {
            let says = |value: &Value| match value {
                Value::Null => "nothing".to_owned(),
                value => value.to_string(),
            };
            let (order, document) = (says(&must[&name]), says(&found.source[&name]));
            format!("{name}: the order says {order}, the document {document}")
        })
        .collect()
}

fn describe_row(row: &OrderRow) -> String {
    format!(
        "order: version {}, {}, {} {} of which {} captured and {} refunded, changed {}",
        row.version,
        row.state.status().as_str(),
        row.amount,
        row.currency,
        row.captured,
        row.refunded,
        row.updated_at.format("%Y-%m-%dT%H:%M:%S%.3fZ")
    )
}

fn describe(found: &Found) -> String {
    let field = |name: &str| match &found.source[name] {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let version = match found.source["version"].as_u64() {
        Some(version) if version == found.version => version.to_string(),
        _ => format!(
            "{} (the index holds it as {})",
            field("version"),
            found.version
        ),
    };
    format!(
        "document: version {version}, {}, {} {} of which {} captured and {} refunded",
        field("status"),
        field("amount"),
        field("currency"),
        field("captured"),
        field("refunded")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_orders::samples::row;
    use domain::{OrderState, Reason};
    use serde_json::json;

    fn seen() -> OrderRow {
        OrderRow {
            state: OrderState::Paid,
            reason: None,
            version: 2,
            ..row()
        }
    }

    fn found(row: &OrderRow) -> Found {
        Found {
            id: row.id.to_string(),
            version: row.version,
            source: serde_json::to_value(document(row, "orders-0").unwrap()).unwrap(),
        }
    }

    fn kind_of(row: &OrderRow, found: Option<&Found>) -> Option<Kind> {
        let row = SeenRow::Row(Box::new(row.clone()));
        compare(&row, found, "orders-0").map(|contradiction| contradiction.kind)
    }

    #[test]
    fn a_document_that_says_what_its_row_says_is_no_difference() {
        assert_eq!(kind_of(&seen(), Some(&found(&seen()))), None);
    }

    #[test]
    fn documents_are_missing_older_newer_or_say_something_else() {
        let row = seen();
        assert_eq!(kind_of(&row, None), Some(Kind::MissingDocument));
        let of_version = |version: u64| {
            let mut found = found(&row);
            found.version = version;
            found.source["version"] = json!(version);
            kind_of(&row, Some(&found))
        };
        assert_eq!(of_version(1), Some(Kind::OlderDocument));
        assert_eq!(of_version(3), Some(Kind::NewerDocument));
        // The follower could then be undone by an older version.
        let mut kept_as_older = found(&row);
        kept_as_older.version = 1;
        let older = kind_of(&row, Some(&kept_as_older));
        assert_eq!(older, Some(Kind::OlderDocument));
        let mut kept_as_newer = found(&row);
        kept_as_newer.version = 3;
        let newer = kind_of(&row, Some(&kept_as_newer));
        assert_eq!(newer, Some(Kind::NewerDocument));
    }

    #[test]
    fn each_field_that_differs_is_named_and_no_other() {
        let row = seen();
        for field in found(&row).source.as_object().unwrap().keys() {
            if field == "version" {
                continue;
            }
            let mut wrong = found(&row);
            wrong.source[field] = json!("another");
            let seen = SeenRow::Row(Box::new(row.clone()));
            let said = compare(&seen, Some(&wrong), "orders-0").unwrap();
            assert_eq!((said.kind, said.says.len()), (Kind::DifferingDocument, 1));
            assert!(said.says[0].starts_with(&format!("{field}: ")), "{said:?}");
        }
        let mut more = found(&row);
        more.source["reference"] = json!("mine");
        assert_eq!(kind_of(&row, Some(&more)), Some(Kind::DifferingDocument));
    }

    #[test]
    fn the_reason_of_an_open_order_is_no_difference_and_that_of_an_ended_one_is() {
        let with = |state| OrderRow {
            state,
            reason: Some(Reason::Expired),
            ..seen()
        };
        let without_reason = |row: &OrderRow| {
            let mut found = found(row);
            found.source.as_object_mut().unwrap().remove("reason");
            found
        };
        let open = with(OrderState::Cancelling);
        assert_eq!(kind_of(&open, Some(&without_reason(&open))), None);
        let ended = with(OrderState::Cancelled);
        let kind = kind_of(&ended, Some(&without_reason(&ended)));
        assert_eq!(kind, Some(Kind::DifferingDocument));
    }

    #[test]
    fn a_document_without_a_row_and_a_row_that_cannot_be_read_are_told_apart() {
        let found = found(&seen());
        let kind = |row: SeenRow| compare(&row, Some(&found), "orders-0").unwrap().kind;
        assert_eq!(kind(SeenRow::Missing), Kind::DocumentWithoutRow);
        assert_eq!(
            kind(SeenRow::Unreadable("state 99".into())),
            Kind::UnreadableRow
        );
        assert_eq!(compare(&SeenRow::Missing, None, "orders-0"), None);
    }
}
