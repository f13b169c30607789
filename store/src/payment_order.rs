//! A payment order as the engine's log keeps it. Cloning it copies no text.

use crate::OrderRow;
use chrono::{DateTime, Utc};
use domain::{BodyDigest, Currency, Leg, OrderId, PaymentCommand};
use std::sync::Arc;

/// One order to be paid: the record of [`crate::OrderLog`].
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentOrder {
    /// Names it; also the xid of its global transaction.
    pub id: OrderId,
    /// Whose accounts these are.
    pub tenant: Arc<str>,
    /// Who asked.
    pub merchant: Arc<str>,
    /// Minor units.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
    /// The legs, numbered by their place.
    pub legs: Arc<[Leg]>,
    /// The merchant's own name for it.
    pub reference: Option<Arc<str>>,
    /// For people.
    pub description: Option<Arc<str>>,
    /// Canonical JSON text of an object.
    pub metadata: Option<Arc<str>>,
    /// Tells two bodies under one key apart.
    pub body_digest: BodyDigest,
    /// When the API took it.
    pub accepted_at: DateTime<Utc>,
    /// First tried later than this, it ends as expired.
    pub not_after: DateTime<Utc>,
    /// Its place in the log among the records of its batch: the engine sorts branches by xid, but
    /// orders of one payer compete for his money in the order they came.
    pub arrival: u32,
}

impl PaymentOrder {
    /// The order that a command asks for; `arrival` is the record's place in its batch.
    pub fn new(command: PaymentCommand, arrival: u32) -> Self {
        let legs = Arc::from(command.legs());
        Self {
            id: command.order_id,
            tenant: command.tenant.into(),
            merchant: command.merchant.into(),
            amount: command.amount,
            currency: command.currency,
            legs,
            reference: command.reference.map(Arc::from),
            description: command.description.map(Arc::from),
            metadata: command.metadata.map(|raw| Arc::from(raw.get())),
            body_digest: command.body_digest,
            accepted_at: command.accepted_at,
            not_after: command.not_after,
            arrival,
        }
    }

    /// The order of a row, as if its record had just been delivered.
    pub(crate) fn of_row(row: OrderRow, arrival: u32) -> Self {
        Self {
            id: row.id,
            tenant: row.tenant.into(),
            merchant: row.merchant.into(),
            amount: row.amount,
            currency: row.currency,
            legs: row.legs.into(),
            reference: row.reference.map(Arc::from),
            description: row.description.map(Arc::from),
            metadata: row.metadata.map(Arc::from),
            body_digest: row.body_digest,
            accepted_at: row.accepted_at,
            not_after: row.not_after,
            arrival,
        }
    }

    /// The legs with their numbers.
    pub fn numbered_legs(&self) -> impl Iterator<Item = (u8, &Leg)> {
        (0..).zip(self.legs.iter())
    }
}
