//! Payments that no other test makes.

use domain::{AccountId, BodyDigest, Currency, OrderId, PaymentCommand};

/// 16 bytes that no other call of any test run gives.
pub fn fresh() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

pub fn usd() -> Currency {
    "USD".parse().unwrap()
}

/// A payment accepted now and good for a day.
pub fn command(payer: AccountId, payee: AccountId, amount: i64) -> PaymentCommand {
    let id = fresh();
    PaymentCommand {
        order_id: OrderId::from_bytes(id),
        tenant: "demo".into(),
        merchant: "shop".into(),
        payer,
        payee,
        amount,
        currency: usd(),
        reference: None,
        description: None,
        metadata: None,
        body_digest: BodyDigest::of_parts([&id[..]]),
        accepted_at: chrono::Utc::now(),
        not_after: chrono::Utc::now() + chrono::TimeDelta::days(1),
    }
}
