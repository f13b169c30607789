//! `catch up`: the follower works off what it has missed while orders go on coming.
//!
//! The clock runs from the start of the follower's process until every order of a moment ago is found.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::bench_stack;
use crate::followed::Followed;
use crate::measured::{CatchUp, PeakMemory};
use crate::pipeline::{self, Load};

const FOLLOWER: ServerName = ServerName::CdcSync;
const MAKERS: [ServerName; 2] = [ServerName::OrderApi, ServerName::Consumer(1)];
/// What comes meanwhile, and for how long.
const LIVE_PER_SECOND: usize = 100;
const LIVE_SECONDS: usize = 40;
/// A follower that is not further behind than this keeps up.
const MOMENT: TimeDelta = TimeDelta::seconds(3);

/// How many orders come meanwhile.
pub const LIVE_ORDERS: usize = LIVE_PER_SECOND * LIVE_SECONDS;

/// Lets a follower that has missed these orders work them off. It is stopped before and afterwards.
pub async fn run(
    stack: &Stack,
    followed: &Followed,
    accounts: &Accounts,
    token: &str,
    backlog: usize,
    peaks: &mut PeakMemory,
) -> Result<CatchUp> {
    bench_stack::start(stack, &MAKERS).await?;
    let load = Load::paced(LIVE_ORDERS, LIVE_PER_SECOND as f64);
    let reference = format!("live-{}", Utc::now().timestamp());
    let live = pipeline::run(stack, accounts, token, load, &reference);
    let (live, took) = tokio::try_join!(live, caught_up(stack, followed))?;
    for name in MAKERS.into_iter().chain([FOLLOWER]) {
        peaks.stop(stack, name).await?;
    }
    Ok(CatchUp {
        backlog,
        live_per_second: LIVE_PER_SECOND as f64,
        took,
        lags: live.lags,
    })
}

async fn caught_up(stack: &Stack, followed: &Followed) -> Result<Duration> {
    let begun = Instant::now();
    stack.handle(FOLLOWER).launch().await?;
    followed.until_as_of(|| Utc::now() - MOMENT).await?;
    Ok(begun.elapsed())
}
