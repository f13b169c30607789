//! Orders that touch one healthy server only, and how long they take while the other one is not well.

use crate::live::Live;
use anyhow::{Context, Result, ensure};
use domain::SlotMap;
use holdfast_tests::{Asked, Merchant, Recorder, Told};
use std::time::{Duration, Instant};

const SHARDS: usize = 2;
/// The shard of the healthy server, of both stores.
const HEALTHY: u16 = 1;
const LANES: usize = 4;
const WAIT_S: u32 = 20;

/// Two accounts and a key space of the healthy server.
pub struct Neighbour {
    recorder: Recorder,
    payer: String,
    payee: String,
    keys: Keys,
}

/// How long each order took from its submission to its outcome, in order.
pub struct Times(Vec<Duration>);

struct Keys {
    ids: domain::IdKey,
    slots: SlotMap,
    merchant: String,
}

impl Neighbour {
    pub async fn open(live: &Live) -> Result<Self> {
        let merchant = Merchant::open(&live.pipeline).await?;
        let slots = SlotMap::even(1, SHARDS)?;
        let (mut payer, mut payee) = (None, None);
        while payer.is_none() || payee.is_none() {
            let account = merchant.account("customer", "USD").await?;
            let id: domain::AccountId = account.parse()?;
            if slots.shard_of(id.as_bytes()) == HEALTHY {
                if payer.is_none() {
                    merchant.fund(&account, 1_000_000).await?;
                    payer = Some(account);
                } else {
                    payee = Some(account);
                }
            }
        }
        Ok(Self {
            keys: Keys {
                ids: live.pipeline.id_key()?,
                slots,
                merchant: merchant.name.clone(),
            },
            recorder: Recorder::of(merchant),
            payer: payer.context("a payer")?,
            payee: payee.context("a payee")?,
        })
    }

    /// Submits orders, a few at a time, so many at least and for so long at least, and waits for the
    /// outcome of each.
    pub async fn orders(&self, phase: &str, at_least: usize, lasting: Duration) -> Result<Times> {
        let until = Instant::now() + lasting;
        let lanes = (0..LANES).map(|lane| self.lane(phase, lane, at_least / LANES, until));
        let lanes = futures_util::future::try_join_all(lanes).await?;
        let times = Times::of(lanes.into_iter().flatten().collect());
        let (count, p50, p99) = (times.0.len(), times.percentile(50), times.percentile(99));
        println!("{phase}: {count} orders, p50 {p50:?}, p99 {p99:?}");
        Ok(times)
    }

    async fn lane(
        &self,
        phase: &str,
        lane: usize,
        at_least: usize,
        until: Instant,
    ) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        let mut keys = (0..).map(|place| format!("{phase}-{lane}-{place}"));
        let asked = Asked {
            payer: self.payer.clone(),
            payee: self.payee.clone(),
            amount: 10,
        };
        while times.len() < at_least || Instant::now() < until {
            let key = keys
                .find(|key| self.keys.are_healthy(key))
                .context("a key")?;
            let begun = Instant::now();
            let told = self.recorder.submit_and_wait(&key, &asked, WAIT_S).await;
            times.push(begun.elapsed());
            let paid = matches!(&told, Told::Accepted { status, .. } if status == "paid");
            ensure!(paid, "INV-8: {key} was told {told:?}");
        }
        Ok(times)
    }

    /// What was told is what happened.
    pub async fn finish(&self, live: &Live) -> Result<()> {
        let figures = self.recorder.assert_true(&live.pipeline).await?;
        ensure!(figures.cancelled == 0, "{figures:?}");
        Ok(())
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The shortest time that so many of a hundred orders did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent).div_ceil(100) - 1]
    }

    pub fn longest(&self) -> Duration {
        self.percentile(100)
    }
}

impl Keys {
    fn are_healthy(&self, key: &str) -> bool {
        let id = self.ids.order_id("demo", &self.merchant, key);
        self.slots.shard_of(id.as_bytes()) == HEALTHY
    }
}
