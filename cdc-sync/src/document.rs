//! From a row to the document that finance searches: pure.

use crate::rows::OrderRow;
use domain::{AccountId, Leg, LegKind, OrderId, OrderState, Reason, decode_legs};
use serde::Serialize;

/// One version of an order as the index holds it. Money is in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// `ord_...`, also the document's `_id`.
    pub order_id: OrderId,
    /// Whose shop.
    pub tenant: String,
    /// Whose sale.
    pub merchant: String,
    /// `processing`, `paid` or `cancelled`.
    pub status: &'static str,
    /// Why cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Who is debited.
    #[serde(skip_serializing_if = "Accounts::is_empty")]
    pub payer: Accounts,
    /// Who is credited.
    #[serde(skip_serializing_if = "Accounts::is_empty")]
    pub payee: Accounts,
    /// What was asked.
    pub amount: i64,
    /// What was taken.
    pub captured: i64,
    /// What went back.
    pub refunded: i64,
    /// Three letters.
    pub currency: String,
    /// The merchant's own name for the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When the API took it.
    pub accepted_at: String,
    /// When the row was made.
    pub created_at: String,
    /// When the row last changed.
    pub updated_at: String,
    /// The row's version, also the document's `_version`.
    pub version: u64,
    /// The order shard, such as `orders-0`.
    pub shard: String,
}

/// One account as a text, several as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts(Vec<AccountId>);

impl Accounts {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(legs: &[Leg], kind: LegKind) -> Self {
        let mut accounts = Vec::new();
        for leg in legs.iter().filter(|leg| leg.kind == kind) {
            if !accounts.contains(&leg.account) {
                accounts.push(leg.account);
            }
        }
        Self(accounts)
    }
}

impl Serialize for Accounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

/// A row whose content cannot be shown: it goes to the dead letters with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableRow(String);

/// The document of a row of this shard.
pub fn document(row: OrderRow, shard: &str) -> Result<Document, UnreadableRow> {
    let unreadable = |error: &dyn std::fmt::Display| UnreadableRow(error.to_string());
    let state = OrderState::try_from(row.state).map_err(|e| unreadable(&e))?;
    let reason = Reason::from_code(row.reason).map_err(|e| unreadable(&e))?;
    let legs = decode_legs(&row.branches).map_err(|e| unreadable(&e))?;
    // External versions in the index are signed.
    if i64::try_from(row.version).is_err() {
        return Err(UnreadableRow(format!(
            "version {} is too large",
            row.version
        )));
    }
    Ok(Document {
        order_id: OrderId::from_bytes(row.id),
        tenant: row.tenant,
        merchant: row.merchant,
        status: state.status().as_str(),
        reason: reason.map(Reason::as_str),
        payer: Accounts::of(&legs, LegKind::Debit),
        payee: Accounts::of(&legs, LegKind::Credit),
        amount: row.amount,
        captured: row.captured,
        refunded: row.refunded,
        currency: row.currency,
        reference: row.reference,
        description: row.description,
        accepted_at: row.accepted_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
        shard: shard.to_owned(),
    })
}

/// Whether a change is worth a write: leases and attempts change the row, not its version.
pub fn is_visible(before_version: Option<u64>, after_version: u64) -> bool {
    before_version != Some(after_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::encode_legs;

    const TIME: &str = "2026-11-21T09:05:07.000042Z";

    fn leg(kind: LegKind, account: u8, amount: i64) -> Leg {
        Leg {
            kind,
            account: AccountId::from_bytes([account; 16]),
            amount,
        }
    }

    fn row(legs: &[Leg]) -> OrderRow {
        OrderRow {
            id: [0xab; 16],
            tenant: "demo".into(),
            merchant: "shop".into(),
            state: OrderState::Cancelled.code(),
            reason: Reason::InsufficientFunds.code(),
            version: 2,
            currency: "USD".into(),
            amount: 2933,
            captured: 0,
            refunded: 0,
            branches: encode_legs(legs),
            reference: Some("cart-7".into()),
            description: None,
            accepted_at: TIME.into(),
            created_at: TIME.into(),
            updated_at: TIME.into(),
        }
    }

    #[test]
    fn a_document_carries_what_finance_filters_by() {
        let legs = [leg(LegKind::Debit, 1, 2933), leg(LegKind::Credit, 2, 2933)];
        let document = document(row(&legs), "orders-1").unwrap();
        let expected = serde_json::json!({
            "order_id": format!("ord_{}", "ab".repeat(16)),
            "tenant": "demo",
            "merchant": "shop",
            "status": "cancelled",
            "reason": "insufficient_funds",
            "payer": format!("acct_{}", "01".repeat(16)),
            "payee": format!("acct_{}", "02".repeat(16)),
            "amount": 2933,
            "captured": 0,
            "refunded": 0,
            "currency": "USD",
            "reference": "cart-7",
            "accepted_at": TIME,
            "created_at": TIME,
            "updated_at": TIME,
            "version": 2,
            "shard": "orders-1",
        });
        assert_eq!(serde_json::to_value(document).unwrap(), expected);
    }

    #[test]
    fn a_split_names_each_payee_once() {
        let legs = [
            leg(LegKind::Debit, 1, 30),
            leg(LegKind::Credit, 2, 10),
            leg(LegKind::Credit, 3, 10),
            leg(LegKind::Credit, 2, 10),
        ];
        let document = serde_json::to_value(document(row(&legs), "orders-0").unwrap()).unwrap();
        assert!(document["payer"].is_string());
        assert_eq!(document["payee"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn codes_and_branches_that_nobody_knows_make_no_document() {
        let bad_state = OrderRow {
            state: 99,
            ..row(&[])
        };
        let bad_reason = OrderRow {
            reason: 99,
            ..row(&[])
        };
        let bad_branches = OrderRow {
            branches: "?".into(),
            ..row(&[])
        };
        let bad_version = OrderRow {
            version: u64::MAX,
            ..row(&[])
        };
        for row in [bad_state, bad_reason, bad_branches, bad_version] {
            assert!(document(row, "orders-0").is_err());
        }
    }

    #[test]
    fn a_lease_is_not_visible_and_an_insert_is() {
        assert!(!is_visible(Some(3), 3));
        assert!(is_visible(Some(3), 4));
        assert!(is_visible(None, 1));
    }
}
