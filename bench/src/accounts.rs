//! The accounts of the measured services, opened and funded through the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use domain::AccountId;
use futures_util::future::try_join_all;
use hyper::StatusCode;
use rand::Rng;
use serde_json::{Value, json};

use crate::http_client::Connection;
use crate::load::{CURRENCY, FUNDS_MINOR_UNITS, PAYEES, Payment};
use crate::order_requests;

/// Payers without a cent.
const POOR_PAYERS: usize = 200;
/// Connections that open accounts. Few: all funding of a shard passes through one external account.
const LANES: usize = 8;
/// A busy machine may answer 503; the same key makes a repetition harmless.
const ATTEMPTS_MAX: usize = 50;
const ATTEMPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

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
    pub async fn open(api_url: &str, token: &str, payers: usize) -> Result<Self> {
        Ok(Self {
            payers: open_many(api_url, token, "customer", payers, FUNDS_MINOR_UNITS).await?,
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
    let key = order_requests::new_key(&mut rand::rng());
    let account = create(connection, "/v1/accounts", &key, &body)
        .await
        .context("an account could not be opened")?;
    let id = account["id"].as_str().context("an account without id")?;
    Ok(id.to_owned())
}

async fn fund(connection: &mut Connection, account: &str, amount: i64) -> Result<()> {
    let path = format!("/v1/accounts/{account}/funding");
    let body = json!({"amount": amount, "currency": CURRENCY});
    create(connection, &path, "first funds", &body)
        .await
        .with_context(|| format!("{account} could not be funded"))?;
    Ok(())
}

/// Posts until it is created, as a client that knows 503 would.
async fn create(connection: &mut Connection, path: &str, key: &str, body: &Value) -> Result<Value> {
    let headers = [("idempotency-key", key)];
    let mut attempt = 1;
    loop {
        let answer = connection.post(path, &headers, body.to_string()).await?;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE || attempt == ATTEMPTS_MAX {
            return answer.expect(StatusCode::CREATED);
        }
        tokio::time::sleep(ATTEMPT_AGAIN_AFTER).await;
        attempt += 1;
    }
}
