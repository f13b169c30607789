//! A load of orders by a recording client, running while a test breaks things.

use crate::history::{Figures, History, Submission};
use crate::merchant::order;
use crate::{Answer, Merchant, Pipeline};
use anyhow::{Result, bail};
use futures_util::future::try_join_all;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long one order may be repeated before the load fails.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(120);
const RETRY_PAUSE: Duration = Duration::from_millis(150);
const TENANT: &str = "demo";

/// The shape of a load.
#[derive(Debug, Clone, Copy)]
pub struct LoadSettings {
    /// How many orders.
    pub orders: usize,
    /// How many at once.
    pub lanes: usize,
    /// Pause between two orders of a lane.
    pub pause: Duration,
    /// Makes the same load again.
    pub seed: u64,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self {
            orders: 400,
            lanes: 8,
            pause: Duration::from_millis(60),
            seed: rand::random(),
        }
    }
}

/// A load that runs.
pub struct Load {
    lanes: Vec<JoinHandle<Result<Vec<Submission>>>>,
    merchant: Merchant,
    funded: HashMap<String, i64>,
}

struct Lane {
    merchant: Merchant,
    rng: StdRng,
    settings: LoadSettings,
    number: usize,
    payers: Vec<String>,
    closed: String,
}

impl Load {
    /// Opens a merchant with customers rich and poor and a closed account, and starts submitting.
    /// Prints the seed.
    pub async fn start(pipeline: &Pipeline, settings: LoadSettings) -> Result<Self> {
        println!("load: seed {}", settings.seed);
        let merchant = Merchant::open_in(pipeline, TENANT).await?;
        let mut funded = HashMap::new();
        for money in [10_000_000, 10_000_000, 5_000, 0] {
            funded.insert(merchant.customer(money).await?, money);
        }
        let closed = merchant.account("merchant", "USD").await?;
        merchant.close(&closed).await?;
        let mut payers: Vec<String> = funded.keys().cloned().collect();
        payers.sort();
        let lanes = (0..settings.lanes).map(|number| {
            let lane = Lane {
                merchant: merchant.clone(),
                rng: StdRng::seed_from_u64(settings.seed.wrapping_add(number as u64)),
                settings,
                number,
                payers: payers.clone(),
                closed: closed.clone(),
            };
            tokio::spawn(lane.run())
        });
        Ok(Self {
            lanes: lanes.collect(),
            merchant,
            funded,
        })
    }

    /// Waits until every order was accepted (or refused for good), then until everything has ended,
    /// and asserts that what was told is what happened and that the invariants hold.
    pub async fn finish(self, pipeline: &Pipeline) -> Result<Figures> {
        let mut history = History::default();
        for lane in try_join_all(self.lanes).await? {
            history.submissions.extend(lane?);
        }
        let ids = pipeline.id_key()?;
        let figures = history
            .assert_true(&self.merchant, TENANT, &ids, &self.funded)
            .await?;
        pipeline.assert_invariants().await?;
        println!("load: {} submitted, {figures:?}", history.submissions.len());
        Ok(figures)
    }
}

impl Lane {
    async fn run(mut self) -> Result<Vec<Submission>> {
        let count = self.settings.orders / self.settings.lanes;
        let mut submissions = Vec::with_capacity(count);
        for place in 0..count {
            let key = format!("{}-{}-{place}", self.settings.seed, self.number);
            submissions.push(self.submit(key).await?);
            sleep(self.settings.pause).await;
        }
        Ok(submissions)
    }

    async fn submit(&mut self, key: String) -> Result<Submission> {
        let payer = self.payers[self.rng.random_range(0..self.payers.len())].clone();
        let amount = self.rng.random_range(1..2_000);
        let to_closed = self.rng.random_ratio(1, 20);
        let payee = if to_closed {
            &self.closed
        } else {
            &self.merchant.account
        };
        let body = order(&payer, payee, amount);
        // Some clients never repeat: what they are refused must stay undone.
        let repeats = self.rng.random_ratio(4, 5);
        let mut submission = Submission {
            key,
            payer,
            amount,
            accepted: None,
            unknown: false,
        };
        self.repeat_until_told(&mut submission, &body, repeats)
            .await?;
        if submission.accepted.is_some() && self.rng.random_ratio(1, 10) {
            self.repeat_until_told(&mut submission, &body, true).await?;
        }
        Ok(submission)
    }

    async fn repeat_until_told(
        &self,
        submission: &mut Submission,
        body: &Value,
        repeats: bool,
    ) -> Result<()> {
        let deadline = Instant::now() + ACCEPT_TIMEOUT;
        loop {
            let answer = self
                .merchant
                .client
                .post("/v1/orders", &submission.key, body)
                .await;
            match told(&answer)? {
                Told::Accepted(id) => {
                    submission.accepted = Some(id);
                    return Ok(());
                }
                Told::NotEnqueued if !repeats && !submission.unknown => return Ok(()),
                Told::NotEnqueued => {}
                Told::Unknown => submission.unknown = true,
            }
            if Instant::now() > deadline {
                bail!(
                    "{} was not accepted within {ACCEPT_TIMEOUT:?}: {answer:?}",
                    submission.key
                );
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

enum Told {
    Accepted(String),
    NotEnqueued,
    Unknown,
}

fn told(answer: &Result<Answer>) -> Result<Told> {
    let Ok(answer) = answer else {
        return Ok(Told::Unknown);
    };
    match (answer.status.as_u16(), answer.text("code")) {
        (200 | 202, _) => Ok(Told::Accepted(answer.text("id").to_owned())),
        (503, "not_enqueued") => Ok(Told::NotEnqueued),
        (503, "outcome_unknown") => Ok(Told::Unknown),
        // Refused before anything was done.
        (503, "overloaded") | (409, _) => Ok(Told::NotEnqueued),
        _ => bail!("an order was answered {answer:?}"),
    }
}
