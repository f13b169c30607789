//! `follow`: what the follower does with what `drain` has left in the binlogs, beside a direct load of the
//! same documents by the same writer.
//!
//! `replication` runs from the start of the follower's process until search finds every order as it
//! ended: the binlogs also hold every change of accounts, holds and entries, and each order's versions, and
//! events are published. `unpublished` is the same backlog once more, without events. `catch up` is the same
//! while orders go on coming. `snapshot` is a follower without a position. Each begins with an empty index.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::Utc;
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::catch_up;
use crate::cpu::CpuMeter;
use crate::direct::Direct;
use crate::followed::Followed;
use crate::measured::{FollowRun, PeakMemory, Run};
use crate::say;

const FOLLOWER: ServerName = ServerName::CdcSync;
const LOOK_EVERY: Duration = Duration::from_millis(100);
const FOUND_WITHIN: Duration = Duration::from_secs(900);
/// Direct loads that are not counted: Elasticsearch compiles what it runs for a minute or so. One
/// replication is not counted either, as it runs other code: an order's later versions replace the first.
const WARM_UPS: usize = 3;
/// Settings of a follower that publishes nothing.
const UNPUBLISHED: &str = "export HOLDFAST__EVENTS__PUBLISH='false'\n";

/// Lets the follower find all that is there by now, so that it has missed only what comes from now on.
/// It is stopped before and afterwards.
pub async fn keep_up(stack: &Stack, peaks: &mut PeakMemory) -> Result<()> {
    let now = Utc::now();
    stack.handle(FOLLOWER).launch().await?;
    Followed::read(stack).await?.until_as_of(|| now).await?;
    peaks.stop(stack, FOLLOWER).await
}

/// Measures all of them, one after the other. The follower has ended every order that it has seen, and
/// is stopped.
pub async fn run(
    stack: &Stack,
    accounts: &Accounts,
    token: &str,
    peaks: &mut PeakMemory,
) -> Result<FollowRun> {
    let loader = Direct::prepare(stack).await?;
    let followed = Followed::read(stack).await?;
    let all = loader.rows();
    let backlog = all - followed.ended().await?;
    for _ in 0..WARM_UPS {
        loader.load().await?;
    }
    let direct = tell("direct", loader.load().await?);
    followed.rewind().await?;
    follow(stack, &followed, backlog, peaks).await?;
    followed.rewind().await?;
    let replication = follow(stack, &followed, backlog, peaks).await?;
    let replication = tell("replication", replication);
    followed.rewind().await?;
    std::fs::write(stack.layout().service_env(), UNPUBLISHED)?;
    let unpublished = follow(stack, &followed, backlog, peaks).await;
    std::fs::remove_file(stack.layout().service_env())?;
    let unpublished = tell("unpublished", unpublished?);
    followed.rewind().await?;
    let catch_up = catch_up::run(stack, &followed, accounts, token, backlog, peaks).await?;
    say(&format!(
        "follow: caught up after {:.1} s",
        catch_up.took.as_secs_f64()
    ));
    followed.forget().await?;
    let all = all + catch_up::LIVE_ORDERS;
    let snapshot = tell("snapshot", follow(stack, &followed, all, peaks).await?);
    Ok(FollowRun {
        replication,
        unpublished,
        catch_up,
        snapshot,
        direct,
    })
}

/// Starts the follower and waits until search finds this many orders as ended.
async fn follow(
    stack: &Stack,
    followed: &Followed,
    orders: usize,
    peaks: &mut PeakMemory,
) -> Result<Run> {
    let begun = Instant::now();
    let meter = CpuMeter::start_with_birth_of(stack, FOLLOWER).await?;
    while followed.ended().await? < orders {
        ensure!(begun.elapsed() < FOUND_WITHIN, "not all orders are found");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took = begun.elapsed();
    let cpu = meter.stop()?;
    peaks.stop(stack, FOLLOWER).await?;
    Ok(Run { orders, took, cpu })
}

/// A line for whoever waits.
fn tell(name: &str, run: Run) -> Run {
    say(&format!("follow: {name} {:.0}/s", run.rate()));
    run
}
