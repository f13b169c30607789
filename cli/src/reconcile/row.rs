//! An order's row as a reconciliation sees it.

use cdc_sync::document::{self, Document, UnreadableRow};
use cdc_sync::rows;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{OrderState, Reason, encode_legs};
use store::OrderRow;

/// What is in an order's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenRow {
    /// Its row.
    Row(Box<OrderRow>),
    /// None.
    Missing,
    /// A row that cannot be read, and why.
    Unreadable(String),
}

impl SeenRow {
    /// The row that was read.
    pub fn row(&self) -> Option<&OrderRow> {
        match self {
            Self::Row(row) => Some(row),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }

    /// Whether its order was made before this time. Of one that is not there nothing is known.
    pub fn is_before(&self, since: DateTime<Utc>) -> bool {
        self.row().is_some_and(|row| row.created_at < since)
    }
}

/// Whether it has not ended yet.
pub fn is_open(state: OrderState) -> bool {
    match state {
        OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => true,
        OrderState::Paid | OrderState::Cancelled => false,
    }
}

/// What the follower makes of this row of this shard.
pub fn document(row: &OrderRow, shard: &str) -> Result<Document, UnreadableRow> {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let row = rows::OrderRow {
        id: *row.id.as_bytes(),
        tenant: row.tenant.clone(),
        merchant: row.merchant.clone(),
        state: row.state.code(),
        reason: row.reason.map_or(0, Reason::code),
        version: row.version,
        currency: row.currency.to_string(),
        amount: row.amount,
        captured: row.captured,
        refunded: row.refunded,
        branches: encode_legs(&row.legs),
        reference: row.reference.clone(),
        description: row.description.clone(),
        accepted_at: time(row.accepted_at),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
    };
    document::document(row, shard)
}
