//! Reads every account of the run back through the API and compares it with what the data demands.

use super::accounts::Accounts;
use super::api::Api;
use super::expected::Expected;
use super::progress::Progress;
use anyhow::Context;
use domain::AccountId;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

/// What the accounts say.
#[derive(Debug, Default)]
pub struct Balances {
    /// What is reserved on any of them, in minor units.
    pub held: i64,
    /// What arrived at the shop, in minor units.
    pub shop: i64,
    /// Accounts whose balance is not what it must be, one sentence each.
    pub wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Account {
    ledger_balance: i64,
    held: i64,
}

/// Reads all accounts, so many at once.
pub async fn read(
    api: &Api,
    accounts: &Accounts,
    expected: &Expected,
    concurrency: usize,
) -> anyhow::Result<Balances> {
    let customers = accounts.customers.iter().map(|(customer, account)| {
        let left = expected.left_on_account.get(customer).copied();
        (*account, left.unwrap_or(0), format!("customer {customer}"))
    });
    let desk = (accounts.returns_desk, 0, "the returns desk".to_owned());
    let shop = (
        accounts.shop,
        expected.paid_minor_units,
        "the shop".to_owned(),
    );
    let progress = Progress::start("Reading every balance", accounts.customers.len() + 2);
    let questions = customers.chain([desk, shop]).map(|(account, must, who)| {
        let progress = &progress;
        async move {
            let read = read_one(api, account).await?;
            progress.advance();
            anyhow::Ok((account, read, must, who))
        }
    });
    let balances = stream::iter(questions)
        .buffer_unordered(concurrency)
        .try_fold(
            Balances::default(),
            async |mut sum, (account, read, must, who)| {
                sum.held += read.held;
                if account == accounts.shop {
                    sum.shop = read.ledger_balance;
                }
                if read.ledger_balance != must {
                    sum.wrong.push(format!(
                        "{who} has {} on {account}, and must have {must}",
                        read.ledger_balance
                    ));
                }
                Ok(sum)
            },
        )
        .await?;
    progress.finish();
    Ok(balances)
}

async fn read_one(api: &Api, account: AccountId) -> anyhow::Result<Account> {
    let body = api.get(&format!("/v1/accounts/{account}")).await?;
    serde_json::from_value(body).context("an account as the API shows it")
}
