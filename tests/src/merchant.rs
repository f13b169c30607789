//! A merchant of its own for one test, with its account and its customers.

use crate::{Client, Pipeline};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

const SCOPES: [&str; 6] = [
    "orders:write",
    "orders:read",
    "accounts:write",
    "accounts:read",
    "funding:write",
    "search:read",
];

/// A merchant that no other test uses.
#[derive(Clone)]
pub struct Merchant {
    /// Its name.
    pub name: String,
    /// Its token, all scopes.
    pub client: Client,
    /// Its account in USD.
    pub account: String,
}

impl Merchant {
    /// Opens a merchant's account under a fresh name in the tenant `demo`.
    pub async fn open(pipeline: &Pipeline) -> Result<Self> {
        Self::open_in(pipeline, "demo").await
    }

    /// The same in another tenant.
    pub async fn open_in(pipeline: &Pipeline, tenant: &str) -> Result<Self> {
        let name = format!("test-{:08x}", rand::random::<u32>());
        let client = pipeline.client(tenant, Some(&name), &SCOPES).await?;
        let account = open_account(&client, "merchant", "USD").await?;
        Ok(Self {
            name,
            client,
            account,
        })
    }

    /// A customer with this much money.
    pub async fn customer(&self, minor_units: i64) -> Result<String> {
        let account = open_account(&self.client, "customer", "USD").await?;
        if minor_units > 0 {
            self.fund(&account, minor_units).await?;
        }
        Ok(account)
    }

    /// An account of this kind and currency.
    pub async fn account(&self, kind: &str, currency: &str) -> Result<String> {
        open_account(&self.client, kind, currency).await
    }

    /// Puts money into an account.
    pub async fn fund(&self, account: &str, minor_units: i64) -> Result<()> {
        let path = format!("/v1/accounts/{account}/funding");
        let key = format!("fund-{:016x}", rand::random::<u64>());
        let body = json!({ "amount": minor_units, "currency": "USD" });
        let answer = self.client.post(&path, &key, &body).await?;
        ensure!(answer.status.is_success(), "funding: {answer:?}");
        Ok(())
    }

    /// Closes an account.
    pub async fn close(&self, account: &str) -> Result<()> {
        let path = format!("/v1/accounts/{account}/close");
        let answer = self.client.post(&path, "close", &Value::Null).await?;
        ensure!(answer.status.is_success(), "close: {answer:?}");
        Ok(())
    }

    /// An order of this payer to the merchant's account.
    pub fn order(&self, payer: &str, minor_units: i64) -> Value {
        order(payer, &self.account, minor_units)
    }

    /// Waits until an order has ended.
    pub async fn ended(&self, order_id: &str) -> Result<Value> {
        for _ in 0..600 {
            let answer = self.client.get(&format!("/v1/orders/{order_id}")).await?;
            ensure!(answer.status != 404, "{order_id} is not found: {answer:?}");
            if answer.status == 200 && answer.text("status") != "processing" {
                return Ok(answer.body);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{order_id} has not ended within a minute")
    }

    /// (ledger balance, held) of an account.
    pub async fn balance(&self, account: &str) -> Result<(i64, i64)> {
        let answer = self.client.get(&format!("/v1/accounts/{account}")).await?;
        let of = |field: &str| {
            answer.body[field]
                .as_i64()
                .with_context(|| format!("{field} in {answer:?}"))
        };
        Ok((of("ledger_balance")?, of("held")?))
    }
}

/// A body for `POST /v1/orders`.
pub fn order(payer: &str, payee: &str, minor_units: i64) -> Value {
    json!({ "payer": payer, "payee": payee, "amount": minor_units, "currency": "USD" })
}

async fn open_account(client: &Client, kind: &str, currency: &str) -> Result<String> {
    let key = format!("open-{:016x}", rand::random::<u64>());
    let body = json!({ "kind": kind, "currency": currency, "name": format!("{kind} of a test") });
    let answer = client.post("/v1/accounts", &key, &body).await?;
    ensure!(answer.status == 201, "open account: {answer:?}");
    Ok(answer.text("id").to_owned())
}
