//! Sends the purchases as orders, some of them twice.

use super::accounts::Accounts;
use super::api::{Answer, Api};
use super::data::Row;
use super::expected::{is_repeated, pays_closed_account};
use super::progress::Progress;
use anyhow::{Context, bail, ensure};
use domain::OrderId;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Submitted {
    /// The orders that were accepted.
    pub orders: Vec<OrderId>,
    /// How many were refused because there is nothing to pay.
    pub refused: usize,
    /// How many repeats were recognised and answered with the first order.
    pub replayed: usize,
    /// Repeats that named the first order but did not say that they are repeats: asked again later.
    pub unrecognised: Vec<Row>,
}

/// What is sent, by whom and where to.
pub struct Submission<'a> {
    /// Names the run; part of every Idempotency-Key and reference.
    pub run: &'a str,
    /// The merchant.
    pub api: &'a Api,
    /// Who pays and is paid.
    pub accounts: &'a Accounts,
    /// How many requests may be on their way at once.
    pub concurrency: usize,
}

enum RowOutcome {
    Refused,
    Accepted {
        order: OrderId,
        repeat: Option<bool>,
    },
}

impl Submission<'_> {
    /// Sends every row, and every tenth one twice.
    pub async fn run(&self, rows: &[Row]) -> anyhow::Result<Submitted> {
        let progress = Progress::start("Submitting orders", rows.len());
        let sent = stream::iter(rows).map(|row| {
            let progress = &progress;
            async move {
                let outcome = self.submit(row).await;
                progress.advance();
                outcome
                    .map(|outcome| (row, outcome))
                    .with_context(|| format!("row {}", row.number))
            }
        });
        let submitted = sent
            .buffer_unordered(self.concurrency)
            .try_fold(Submitted::default(), async |sum, (row, outcome)| {
                Ok(sum.with(row, outcome))
            })
            .await?;
        progress.finish();
        Ok(submitted)
    }

    /// Sends rows again that were sent before; how many are now recognised as repeats.
    pub async fn repeat(&self, rows: &[Row]) -> anyhow::Result<usize> {
        let recognised = stream::iter(rows).map(async |row| {
            let answer = self.post(row).await?;
            anyhow::Ok(usize::from(answer.replayed))
        });
        recognised
            .buffer_unordered(self.concurrency)
            .try_fold(0, async |sum, one| Ok(sum + one))
            .await
    }

    async fn submit(&self, row: &Row) -> anyhow::Result<RowOutcome> {
        let answer = self.post(row).await?;
        if row.amount == 0 {
            ensure!(
                answer.status == StatusCode::BAD_REQUEST,
                "an order of nothing was answered {} instead of 400: {}",
                answer.status,
                answer.body
            );
            return Ok(RowOutcome::Refused);
        }
        let order = order_id(answer)?;
        if !is_repeated(row) {
            return Ok(RowOutcome::Accepted {
                order,
                repeat: None,
            });
        }
        let again = self.post(row).await?;
        let replayed = again.replayed;
        let same = order_id(again)?;
        if same != order {
            bail!("the same request made two orders, {order} and {same}");
        }
        Ok(RowOutcome::Accepted {
            order,
            repeat: Some(replayed),
        })
    }

    async fn post(&self, row: &Row) -> anyhow::Result<Answer> {
        let key = format!("{}-order-{}", self.run, row.number);
        self.api.post("/v1/orders", &key, &self.body(row)?).await
    }

    fn body(&self, row: &Row) -> anyhow::Result<Value> {
        let payer = self.accounts.customers.get(&row.customer);
        let payee = if pays_closed_account(row) {
            self.accounts.returns_desk
        } else {
            self.accounts.shop
        };
        Ok(json!({
            "payer": payer.context("the customer has no account")?,
            "payee": payee,
            "amount": row.amount,
            "currency": "USD",
            "reference": format!("{}-{}", self.run, row.number),
            "description": format!("{} CDs on {}", row.items, row.date),
            "metadata": { "customer": row.customer, "row": row.number },
        }))
    }
}

impl Submitted {
    fn with(mut self, row: &Row, outcome: RowOutcome) -> Self {
        match outcome {
            RowOutcome::Refused => self.refused += 1,
            RowOutcome::Accepted { order, repeat } => {
                self.orders.push(order);
                match repeat {
                    Some(true) => self.replayed += 1,
                    Some(false) => self.unrecognised.push(row.clone()),
                    None => {}
                }
            }
        }
        self
    }
}

fn order_id(answer: Answer) -> anyhow::Result<OrderId> {
    let id = answer.id("an order")?;
    id.parse().context("the id of an order")
}
