//! An order as the API shows it.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{Leg, LegKind, OrderId, PaymentCommand};
use serde::Serialize;
use serde_json::value::RawValue;
use store::OrderRow;
use utoipa::ToSchema;

/// An order. Only `id` and `status` are always there: an order that was accepted a moment ago is
/// `processing`, and the rest is known once it is worked on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// Names it.
    #[schema(example = "ord_0f1e2d3c4b5a8978b6a5948372615040")]
    id: String,
    /// `processing`, `paid` or `cancelled`; more may come.
    #[schema(example = "processing")]
    status: &'static str,
    /// Why it was cancelled: `insufficient_funds`, `account_not_found`, `account_closed`,
    /// `currency_mismatch`, `expired`; more may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten)]
    details: Option<OrderDetails>,
}

/// What was ordered and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderDetails {
    /// Who asked.
    merchant: String,
    /// The account that pays.
    payer: Option<String>,
    /// The account that is paid.
    payee: Option<String>,
    /// Minor units asked for.
    amount: i64,
    /// ISO 4217.
    currency: String,
    /// Minor units that moved.
    captured: i64,
    /// Minor units that moved back.
    refunded: i64,
    /// Your own name for it.
    reference: Option<String>,
    /// For people.
    description: Option<String>,
    /// Your own fields.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// Grows whenever something of the order changes; 0 before it is worked on.
    version: u64,
    /// When it was accepted.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated_at: String,
}

impl OrderView {
    /// An order of which nothing is known but that it was accepted.
    pub(crate) fn processing(id: OrderId) -> Self {
        Self {
            id: id.to_string(),
            status: domain::OrderStatus::Processing.as_str(),
            reason: None,
            details: None,
        }
    }

    /// An order that was just accepted.
    pub(crate) fn of_command(command: &PaymentCommand) -> Self {
        Self {
            details: Some(OrderDetails {
                merchant: command.merchant.clone(),
                payer: Some(command.payer.to_string()),
                payee: Some(command.payee.to_string()),
                amount: command.amount,
                currency: command.currency.to_string(),
                captured: 0,
                refunded: 0,
                reference: command.reference.clone(),
                description: command.description.clone(),
                metadata: command.metadata.clone(),
                version: 0,
                created_at: shown_time(command.accepted_at),
                updated_at: shown_time(command.accepted_at),
            }),
            ..Self::processing(command.order_id)
        }
    }

    /// An order as its row is.
    pub(crate) fn of_row(row: &OrderRow) -> Self {
        let (status, reason) = row.outcome();
        let metadata = row.metadata.clone();
        Self {
            id: row.id.to_string(),
            status: status.as_str(),
            reason: reason.map(|reason| reason.as_str()),
            details: Some(OrderDetails {
                merchant: row.merchant.clone(),
                payer: account_of(&row.legs, LegKind::Debit),
                payee: account_of(&row.legs, LegKind::Credit),
                amount: row.amount,
                currency: row.currency.to_string(),
                captured: row.captured,
                refunded: row.refunded,
                reference: row.reference.clone(),
                description: row.description.clone(),
                metadata: metadata.and_then(|text| RawValue::from_string(text).ok()),
                version: row.version,
                created_at: shown_time(row.accepted_at),
                updated_at: shown_time(row.updated_at.max(row.accepted_at)),
            }),
        }
    }
}

fn account_of(legs: &[Leg], kind: LegKind) -> Option<String> {
    let leg = legs.iter().find(|leg| leg.kind == kind)?;
    Some(leg.account.to_string())
}

/// RFC 3339 in UTC with microseconds, as precise as the stores.
pub(crate) fn shown_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
