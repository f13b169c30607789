//! The accounts of one run: the shop, its closed returns desk, and a funded one for each customer.

use super::api::Api;
use super::progress::Progress;
use anyhow::Context;
use domain::AccountId;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The accounts of a run.
#[derive(Debug)]
pub struct Accounts {
    /// Takes the payments.
    pub shop: AccountId,
    /// Was closed before the first order.
    pub returns_desk: AccountId,
    /// By the customer's number.
    pub customers: BTreeMap<u32, AccountId>,
}

/// Who opens what. The shop's accounts are the merchant's own; customers are the tenant's, and only
/// the back office gives them money.
pub struct Openers<'a> {
    /// Names the run; part of every Idempotency-Key.
    pub run: &'a str,
    /// The merchant.
    pub merchant: &'a Api,
    /// The back office, with `funding:write`.
    pub back_office: &'a Api,
    /// How many requests may be on their way at once.
    pub concurrency: usize,
}

impl Openers<'_> {
    /// Opens all accounts, closes the returns desk, and funds the customers.
    pub async fn open(&self, funding: &BTreeMap<u32, i64>) -> anyhow::Result<Accounts> {
        let shop = self
            .open_one(self.merchant, "merchant", "shop", "The CD shop")
            .await?;
        let returns_desk = self
            .open_one(self.merchant, "merchant", "returns", "Returns desk")
            .await?;
        self.close(returns_desk).await?;
        let progress = Progress::start("Opening and funding accounts", funding.len());
        let opened = stream::iter(funding).map(|(customer, amount)| {
            let progress = &progress;
            async move {
                let account = self.open_customer(*customer, *amount).await?;
                progress.advance();
                anyhow::Ok((*customer, account))
            }
        });
        let customers = opened
            .buffer_unordered(self.concurrency)
            .try_collect()
            .await?;
        progress.finish();
        Ok(Accounts {
            shop,
            returns_desk,
            customers,
        })
    }

    async fn open_customer(&self, customer: u32, amount: i64) -> anyhow::Result<AccountId> {
        let name = format!("Customer {customer:05}");
        let what = format!("customer-{customer}");
        let account = self
            .open_one(self.back_office, "customer", &what, &name)
            .await?;
        if amount > 0 {
            self.fund(account, customer, amount).await?;
        }
        Ok(account)
    }

    async fn open_one(
        &self,
        api: &Api,
        kind: &str,
        what: &str,
        name: &str,
    ) -> anyhow::Result<AccountId> {
        let key = format!("{}-open-{what}", self.run);
        let body = json!({ "kind": kind, "currency": "USD", "name": name });
        let answer = api.post("/v1/accounts", &key, &body).await?;
        let id = answer.id("opening an account")?;
        id.parse().context("the id of an account")
    }

    async fn fund(&self, account: AccountId, customer: u32, amount: i64) -> anyhow::Result<()> {
        let key = format!("{}-fund-{customer}", self.run);
        let path = format!("/v1/accounts/{account}/funding");
        let body = json!({ "amount": amount, "currency": "USD" });
        let answer = self.back_office.post(&path, &key, &body).await?;
        answer.ok("funding an account").map(|_: Value| ())
    }

    async fn close(&self, account: AccountId) -> anyhow::Result<()> {
        let path = format!("/v1/accounts/{account}/close");
        let answer = self.merchant.post_repeatable(&path).await?;
        answer.ok("closing an account").map(|_: Value| ())
    }
}
