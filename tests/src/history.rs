//! What a recording client was told, held against what the pipeline did.

use crate::Merchant;
use anyhow::{Result, bail, ensure};
use domain::IdKey;
use std::collections::HashMap;

/// What the client knows of one order it asked for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its Idempotency-Key.
    pub key: String,
    /// Who pays.
    pub payer: String,
    /// Minor units.
    pub amount: i64,
    /// The id that a 202 or 200 named.
    pub accepted: Option<String>,
    /// Whether any try got no answer or `outcome_unknown`; it is then repeated until accepted.
    pub unknown: bool,
}

/// Everything one client asked for and was told.
#[derive(Debug, Default)]
pub struct History {
    /// In the order of asking.
    pub submissions: Vec<Submission>,
}

/// What the orders of a history came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Orders that were paid.
    pub paid: usize,
    /// Orders that were cancelled.
    pub cancelled: usize,
    /// Minor units that moved.
    pub moved: i64,
}

impl History {
    /// Asserts that nothing accepted is lost, nothing happened twice, nothing answered
    /// `not_enqueued` happened, and every balance is what the orders say.
    pub async fn assert_true(
        &self,
        merchant: &Merchant,
        tenant: &str,
        ids: &IdKey,
        funded: &HashMap<String, i64>,
    ) -> Result<Figures> {
        let mut figures = Figures::default();
        let mut left = funded.clone();
        for submission in &self.submissions {
            let id = ids
                .order_id(tenant, &merchant.name, &submission.key)
                .to_string();
            match &submission.accepted {
                Some(named) => ensure!(*named == id, "{named} was accepted as {id}"),
                None if submission.unknown => bail!("{id}: repeating its key never resolved it"),
                None => {
                    assert_never_happened(merchant, &id).await?;
                    continue;
                }
            }
            let order = merchant.ended(&id).await?;
            match order["status"].as_str() {
                Some("paid") => {
                    figures.paid += 1;
                    figures.moved += submission.amount;
                    *left.entry(submission.payer.clone()).or_default() -= submission.amount;
                }
                Some("cancelled") => figures.cancelled += 1,
                other => bail!("{id} ended as {other:?}"),
            }
        }
        for (payer, expected) in &left {
            let balance = merchant.balance(payer).await?;
            ensure!(
                balance == (*expected, 0),
                "{payer} has {balance:?}, not ({expected}, 0)"
            );
        }
        let (ledger, _) = merchant.balance(&merchant.account).await?;
        ensure!(
            ledger == figures.moved,
            "the merchant has {ledger}, not {}",
            figures.moved
        );
        Ok(figures)
    }
}

async fn assert_never_happened(merchant: &Merchant, id: &str) -> Result<()> {
    // The API knows its own id by the MAC, so it answers `processing` for ever when nothing
    // happened; an outcome would be a lie of the refusal.
    let answer = merchant.client.get(&format!("/v1/orders/{id}")).await?;
    let status = answer.text("status");
    ensure!(
        matches!(status, "" | "processing"),
        "{id} was refused and yet is {status}"
    );
    Ok(())
}
