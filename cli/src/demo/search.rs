//! Asks search, as the merchant sees it, until it knows every outcome of the run.

use super::accounts::Accounts;
use super::api::Api;
use super::expected::TOP_CUSTOMERS;
use super::page::TopCustomer;
use super::progress::Progress;
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use domain::AccountId;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long a count that is wrong although the index is fresh is asked again.
const SECOND_THOUGHTS: Duration = Duration::from_secs(10);

/// What to ask for.
pub struct Question<'a> {
    /// The merchant, who sees the orders of this run and no others.
    pub api: &'a Api,
    /// How many orders there must be.
    pub orders: usize,
    /// When the last of them ended.
    pub since: DateTime<Utc>,
    /// How long to wait for a follower that does not come on.
    pub patience: Duration,
}

/// What search says.
#[derive(Debug)]
pub struct Searched {
    /// How many orders of the run it knows.
    pub orders: usize,
    /// When it knew them.
    pub at: DateTime<Utc>,
    /// Who paid most.
    pub top: Vec<TopCustomer>,
}

#[derive(Deserialize)]
struct Found {
    /// By status, then by currency.
    totals: BTreeMap<String, BTreeMap<String, Total>>,
    as_of: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Total {
    count: usize,
}

#[derive(Deserialize)]
struct Summary {
    data: Vec<Payer>,
}

#[derive(Deserialize)]
struct Payer {
    key: AccountId,
    count: u64,
    /// Minor units, by currency.
    amount: BTreeMap<String, i64>,
}

impl Found {
    fn count(&self) -> usize {
        let totals = self.totals.values().flat_map(BTreeMap::values);
        totals.map(|total| total.count).sum()
    }
}

impl Question<'_> {
    /// Waits, counts, and asks who paid most.
    pub async fn ask(&self, accounts: &Accounts) -> anyhow::Result<Searched> {
        let (orders, at) = self.wait().await?;
        let top = self.top(accounts).await?;
        Ok(Searched { orders, at, top })
    }

    async fn wait(&self) -> anyhow::Result<(usize, DateTime<Utc>)> {
        let progress = Progress::start("Waiting for search", self.orders);
        let mut fresh_since: Option<Instant> = None;
        let mut moved = (Instant::now(), None);
        loop {
            let found: Found =
                serde_json::from_value(self.api.get("/v1/search/orders?limit=1").await?)
                    .context("the search's answer")?;
            let count = found.count();
            progress.set(count);
            let now = Utc::now();
            let fresh = found.as_of.is_some_and(|as_of| as_of >= self.since);
            if fresh && count == self.orders {
                progress.finish();
                return Ok((count, now));
            }
            if fresh {
                let since = fresh_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SECOND_THOUGHTS {
                    return Ok((count, now));
                }
            }
            if moved.1 != Some((found.as_of, count)) {
                moved = (Instant::now(), Some((found.as_of, count)));
            } else if moved.0.elapsed() > self.patience {
                bail!(
                    "search has not come on for {:?}: it knows {count} of {} orders, as of {:?}; is cdc-sync running?",
                    self.patience,
                    self.orders,
                    found.as_of
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn top(&self, accounts: &Accounts) -> anyhow::Result<Vec<TopCustomer>> {
        let path = format!("/v1/search/orders/summary?by=payer&status=paid&limit={TOP_CUSTOMERS}");
        let summary: Summary =
            serde_json::from_value(self.api.get(&path).await?).context("the summary's answer")?;
        let customers = accounts.customers.iter();
        let customer_of: HashMap<&AccountId, u32> = customers
            .map(|(number, account)| (account, *number))
            .collect();
        let top = summary.data.into_iter().map(|payer| {
            let customer = customer_of.get(&payer.key).copied();
            Ok(TopCustomer {
                customer: customer.with_context(|| format!("{} is no customer", payer.key))?,
                orders: payer.count,
                paid_minor_units: payer.amount.values().sum(),
            })
        });
        top.collect()
    }
}
