//! The checksum of a document, as the order databases compute it of a row
//! (`store/src/reconcile/orders.rs`). Pure.
//!
//! Whatever cannot be a row's gets a checksum, too: it only has to differ.

use crate::search_ranges::Found;
use domain::{AccountId, OrderId, OrderState, OrderStatus, Reason};
use serde_json::Value;
use std::fmt::Write;
use store::reconcile::{IdRange, Sum, Sums};

/// Adds documents up, by ranges of so many digits. Answers also the `_id`s of those whose orders have
/// impossible ids, which are in no range.
pub fn sums(documents: &[Found], digits: u8) -> (Sums, Vec<String>) {
    let (mut sums, mut strays) = (Sums::default(), Vec::new());
    for document in documents {
        let id = document.source["order_id"].as_str();
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            strays.push(document.id.clone());
            continue;
        };
        let sum = Sum {
            rows: 1,
            checksum: u64::from(checksum(document, id)),
        };
        sums.add(IdRange::of(id, digits), sum);
    }
    (sums, strays)
}

fn checksum(document: &Found, id: OrderId) -> u32 {
    let source = &document.source;
    let text = |field: &str| source[field].as_str().unwrap_or_default();
    let (payer, payee) = accounts(source).unwrap_or_default();
    let mut line = format!("{:032X}", u128::from_be_bytes(*id.as_bytes()));
    let mut add = |cell: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = write!(line, "|{cell}");
    };
    for field in ["shard", "tenant", "merchant"] {
        add(format_args!("{}", text(field)));
    }
    let status = status(text("status"));
    add(format_args!("{}", status.unwrap_or(-1)));
    let reason = match status {
        Some(0) => 0,
        Some(_) | None => reason(&source["reason"]).unwrap_or(-1),
    };
    add(format_args!(
        "{reason}|{}|{}",
        source["version"],
        text("currency")
    ));
    for field in ["amount", "captured", "refunded"] {
        add(format_args!("{}", source[field]));
    }
    add(format_args!(
        "{}|{}",
        text("reference"),
        text("description")
    ));
    add(format_args!("{payer}|{payee}"));
    for field in ["accepted_at", "created_at", "updated_at"] {
        add(format_args!("{}", text(field)));
    }
    // What another than the follower has written has another version beside it.
    if source["version"].as_u64() != Some(document.version) || document.id != id.to_string() {
        line.push_str("|another's");
    }
    crc32fast::hash(line.as_bytes())
}

/// The state's code, 0 for one that is open.
fn status(word: &str) -> Option<i16> {
    let ended = [OrderState::Paid, OrderState::Cancelled].into_iter();
    if word == OrderStatus::Processing.as_str() {
        return Some(0);
    }
    let mut ended = ended.filter(|state| state.status().as_str() == word);
    ended.next().map(|state| i16::from(state.code()))
}

fn reason(field: &Value) -> Option<i16> {
    if field.is_null() {
        return Some(0);
    }
    let reason: Reason = serde_json::from_value(field.clone()).ok()?;
    Some(i16::from(reason.code()))
}

/// The digits of payer and payee, where there is one of each.
fn accounts(source: &Value) -> Option<(&str, &str)> {
    let digits = |field: &str| source[field].as_str()?.strip_prefix(AccountId::PREFIX);
    Some((digits("payer")?, digits("payee")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Found {
        let id = format!("ord_{}", "ab".repeat(16));
        let time = "2026-11-21T09:05:07.000042Z";
        Found {
            source: json!({
                "order_id": id, "tenant": "demo", "merchant": "shop", "status": "cancelled",
                "reason": "insufficient_funds", "payer": format!("acct_{}", "01".repeat(16)),
                "payee": format!("acct_{}", "02".repeat(16)), "amount": 2933, "captured": 0,
                "refunded": 0, "currency": "USD", "reference": "cart-7", "accepted_at": time,
                "created_at": time, "updated_at": time, "version": 2, "shard": "orders-1",
            }),
            id,
            version: 2,
        }
    }

    fn checksum_of(found: &Found) -> Sum {
        let id: OrderId = found.source["order_id"].as_str().unwrap().parse().unwrap();
        let (sums, strays) = sums(std::slice::from_ref(found), 3);
        assert!(strays.is_empty());
        sums.of(IdRange::of(id, 3))
    }

    #[test]
    fn each_field_is_in_the_checksum() {
        let right = checksum_of(&document());
        for field in document().source.as_object().unwrap().keys() {
            if field == "order_id" {
                continue;
            }
            let mut wrong = document();
            wrong.source[field] = json!("another");
            assert_ne!(checksum_of(&wrong), right, "{field}");
            wrong.source.as_object_mut().unwrap().remove(field);
            assert_ne!(checksum_of(&wrong), right, "{field} is absent");
        }
        let mut described = document();
        described.source["description"] = json!("a book");
        assert_ne!(checksum_of(&described), right);
    }

    #[test]
    fn what_another_than_the_follower_wrote_is_in_the_checksum() {
        let right = checksum_of(&document());
        let mut wrong = document();
        wrong.version = 3;
        assert_ne!(checksum_of(&wrong), right);
        let mut wrong = document();
        wrong.id = "mine".into();
        assert_ne!(checksum_of(&wrong), right);
    }

    #[test]
    fn a_document_of_an_impossible_order_is_told_and_not_added() {
        let mut stray = document();
        stray.source["order_id"] = json!("ord_12xy");
        let (sums, strays) = sums(&[document(), stray], 3);
        assert_eq!((sums.ranges(), strays), (1, vec![document().id]));
    }

    #[test]
    fn the_reason_of_an_open_order_does_not_count() {
        let mut open = document();
        open.source["status"] = json!("processing");
        let with_reason = checksum_of(&open);
        open.source["reason"] = Value::Null;
        assert_eq!(checksum_of(&open), with_reason);
    }
}
