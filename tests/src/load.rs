//! A load of orders by a recording client, running while a test breaks things.

use crate::attempt::{Asked, Told};
use crate::events::Listener;
use crate::history::Figures;
use crate::recorder::{Recorder, TENANT};
use crate::{Merchant, Pipeline};
use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long one order may be repeated before the load fails.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(120);
const RETRY_PAUSE: Duration = Duration::from_millis(150);
const WAIT_S: u32 = 2;

/// The shape of a load.
#[derive(Debug, Clone, Copy)]
pub struct LoadSettings {
    /// How many orders, unless it is stopped before.
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
    /// What writes everything down; others may submit by it too.
    pub recorder: Recorder,
    /// Who pays.
    pub payers: Payers,
    lanes: Vec<JoinHandle<Result<()>>>,
    /// Hears what is told of its orders.
    pub listener: Listener,
    stopping: CancellationToken,
}

/// Customers rich and poor, and what they were funded with.
#[derive(Debug, Clone)]
pub struct Payers {
    funded: Vec<(String, i64)>,
    closed: String,
}

struct Lane {
    recorder: Recorder,
    rng: StdRng,
    settings: LoadSettings,
    number: usize,
    payers: Payers,
    stopping: CancellationToken,
}

impl Load {
    /// Opens a merchant with customers rich and poor and a closed account, and starts submitting.
    /// Prints the seed.
    pub async fn start(pipeline: &Pipeline, settings: LoadSettings) -> Result<Self> {
        println!("load: seed {}", settings.seed);
        let merchant = Merchant::open_in(pipeline, TENANT).await?;
        let payers = Payers::open(&merchant).await?;
        let listener = Listener::begin(pipeline.stack.env(), &merchant.name).await?;
        let recorder = Recorder::of(merchant);
        let stopping = CancellationToken::new();
        let lanes = (0..settings.lanes).map(|number| {
            let lane = Lane {
                recorder: recorder.clone(),
                rng: StdRng::seed_from_u64(settings.seed.wrapping_add(number as u64)),
                settings,
                number,
                payers: payers.clone(),
                stopping: stopping.clone(),
            };
            tokio::spawn(lane.run())
        });
        Ok(Self {
            lanes: lanes.collect(),
            listener,
            recorder,
            payers,
            stopping,
        })
    }

    /// Submits no new order, and waits until all are told what they are to be told.
    pub async fn stop(&mut self) -> Result<()> {
        self.stopping.cancel();
        self.told().await
    }

    /// Waits until every order was accepted (or refused for good), then until everything has ended,
    /// and asserts that what was told is what happened and that the invariants hold.
    pub async fn finish(mut self, pipeline: &Pipeline) -> Result<Figures> {
        self.told().await?;
        pipeline.assert_invariants().await?;
        let figures = self.recorder.assert_true(pipeline).await?;
        self.payers.assert_balances(&self.recorder).await?;
        let breaches = self.listener.breaches(pipeline.stack.env()).await?;
        ensure!(breaches.is_empty(), "order.events: {breaches:#?}");
        println!("load: {figures:?}");
        Ok(figures)
    }

    async fn told(&mut self) -> Result<()> {
        for lane in try_join_all(self.lanes.drain(..)).await? {
            lane?;
        }
        Ok(())
    }
}

impl Payers {
    async fn open(merchant: &Merchant) -> Result<Self> {
        let mut funded = Vec::new();
        for money in [100_000_000, 100_000_000, 100_000_000, 5_000, 0] {
            funded.push((merchant.customer(money).await?, money));
        }
        let closed = merchant.account("merchant", "USD").await?;
        merchant.close(&closed).await?;
        Ok(Self { funded, closed })
    }

    /// One with money.
    pub fn rich(&self, rng: &mut impl Rng) -> &str {
        let rich: Vec<&str> = self
            .funded
            .iter()
            .filter(|(_, money)| *money > 1_000_000)
            .map(|(account, _)| account.as_str())
            .collect();
        rich[rng.random_range(0..rich.len())]
    }

    /// The API shows of each what it was funded with less what it paid, and no hold.
    async fn assert_balances(&self, recorder: &Recorder) -> Result<()> {
        let merchant = &recorder.merchant;
        let mut spent = 0;
        for (account, funded) in &self.funded {
            let (ledger, held) = merchant.balance(account).await?;
            ensure!(held == 0, "{account} still has {held} held");
            spent += funded - ledger;
        }
        let (earned, _) = merchant.balance(&merchant.account).await?;
        ensure!(
            earned == spent,
            "the merchant has {earned}, the customers spent {spent}"
        );
        Ok(())
    }
}

impl Lane {
    async fn run(mut self) -> Result<()> {
        let count = self.settings.orders / self.settings.lanes;
        for place in 0..count {
            if self.stopping.is_cancelled() {
                break;
            }
            let key = format!("{}-{}-{place}", self.settings.seed, self.number);
            self.order(&key).await?;
            sleep(self.settings.pause).await;
        }
        Ok(())
    }

    async fn order(&mut self, key: &str) -> Result<()> {
        let asked = self.wish();
        if self.rng.random_ratio(1, 10) {
            self.recorder.submit_and_wait(key, &asked, WAIT_S).await;
        }
        // Some clients never repeat: what they are refused must stay undone.
        let repeats = self.rng.random_ratio(4, 5);
        let accepted = self.repeat_until_told(key, &asked, repeats).await?;
        if accepted && self.rng.random_ratio(1, 10) {
            self.repeat_until_told(key, &asked, true).await?;
        }
        if accepted && self.rng.random_ratio(1, 50) {
            let other = Asked {
                amount: asked.amount + 1,
                ..asked
            };
            self.recorder.submit(key, &other).await;
        }
        Ok(())
    }

    fn wish(&mut self) -> Asked {
        let payers = &self.payers.funded;
        let (payer, _) = &payers[self.rng.random_range(0..payers.len())];
        let to_closed = self.rng.random_ratio(1, 20);
        let payee = if to_closed {
            &self.payers.closed
        } else {
            &self.recorder.merchant.account
        };
        Asked {
            payer: payer.clone(),
            payee: payee.clone(),
            amount: self.rng.random_range(1..2_000),
        }
    }

    /// Whether it was accepted.
    async fn repeat_until_told(&self, key: &str, asked: &Asked, repeats: bool) -> Result<bool> {
        let deadline = Instant::now() + ACCEPT_TIMEOUT;
        loop {
            let told = self.recorder.submit(key, asked).await;
            match &told {
                Told::Accepted { .. } => return Ok(true),
                // The check of the history says what is wrong with these.
                Told::OtherBodyStands | Told::Strange(_) => return Ok(false),
                Told::NotEnqueued | Told::OutcomeUnknown | Told::NoAnswer if !repeats => {
                    return Ok(false);
                }
                Told::NotEnqueued | Told::OutcomeUnknown | Told::NoAnswer => {}
            }
            if Instant::now() > deadline {
                bail!("{key} was not accepted within {ACCEPT_TIMEOUT:?}: {told:?}");
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}
