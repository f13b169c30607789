//! The accounts of the measured services, opened and funded through the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use domain::AccountId;
use futures_util::future::try_join_all;
use hyper::StatusCode;
use rand::Rng;
use serde_json::json;

use crate::http_client::Connection;
use crate::load::{CURRENCY, FUNDS_MINOR_UNITS, PAYEES, PAYERS, Payment};

/// Payers without a cent.
const POOR_PAYERS: usize = 250;
/// Connections that open accounts.
const LANES: usize = 32;

/// Who takes part.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Funded.
    payers: Vec<AccountId>,
    /// Not funded.
    poor_payers: Vec<AccountId>,
    payees: Vec<AccountId>,
}

/// A payment between accounts that exist.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// Minor units.
    pub amount: i64,
}

impl Accounts {
    /// Opens and funds them at this API, with a token that may do so.
    pub async fn open(api_url: &str, token: &str) -> Result<Self> {
        Ok(Self {
            payers: open_many(api_url, token, "customer", PAYERS, FUNDS_MINOR_UNITS).await?,
            poor_payers: open_many(api_url, token, "customer", POOR_PAYERS, 0).await?,
            payees: open_many(api_url, token, "merchant", PAYEES, 0).await?,
        })
    }

    /// A transfer that will be paid.
    pub fn draw(&self, rng: &mut impl Rng) -> Transfer {
        self.draw_from(&self.payers, rng)
    }

    /// A transfer that will be cancelled.
    pub fn draw_refused(&self, rng: &mut impl Rng) -> Transfer {
        self.draw_from(&self.poor_payers, rng)
    }

    fn draw_from(&self, payers: &[AccountId], rng: &mut impl Rng) -> Transfer {
        let payment = Payment::draw(rng, payers.len(), self.payees.len());
        Transfer {
            payer: payers[payment.payer],
            payee: self.payees[payment.payee],
            amount: payment.amount,
        }
    }
}

/// Opens so many accounts of a kind, each with these funds.
async fn open_many(
    api_url: &str,
    token: &str,
    kind: &'static str,
    count: usize,
    funds: i64,
) -> Result<Vec<AccountId>> {
    let next = Arc::new(AtomicUsize::new(0));
    let lanes = (0..LANES.min(count)).map(|_| async {
        let mut connection = Connection::open(api_url, Some(token)).await?;
        let mut opened = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < count {
            let account = open_one(&mut connection, kind).await?;
            if funds > 0 {
                fund(&mut connection, &account, funds).await?;
            }
            opened.push(account.parse()?);
        }
        anyhow::Ok(opened)
    });
    Ok(try_join_all(lanes).await?.concat())
}

async fn open_one(connection: &mut Connection, kind: &str) -> Result<String> {
    let body = json!({"kind": kind, "currency": CURRENCY, "name": "Of the bench"});
    let answer = connection
        .post("/v1/accounts", &[], body.to_string())
        .await?;
    let account = answer
        .expect(StatusCode::CREATED)
        .context("an account could not be opened")?;
    let id = account["id"].as_str().context("an account without id")?;
    Ok(id.to_owned())
}

async fn fund(connection: &mut Connection, account: &str, amount: i64) -> Result<()> {
    let path = format!("/v1/accounts/{account}/funding");
    let body = json!({"amount": amount, "currency": CURRENCY});
    let key = [("idempotency-key", "first funds")];
    let answer = connection.post(&path, &key, body.to_string()).await?;
    anyhow::ensure!(
        answer.status.is_success(),
        "{account} could not be funded: {} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}
