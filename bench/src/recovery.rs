//! `recovery`: orders in doubt, left by workers that died, and one consumer as shipped that finishes
//! them. Nothing is on Kafka, so that all of it is the sweeper's work.
//!
//! The clock runs from the first order ended to the last.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::cpu::CpuMeter;
use crate::in_doubt;
use crate::measured::{PeakMemory, Run};
use crate::order_counts::OrderCounts;
use crate::say;

const CONSUMER: ServerName = ServerName::Consumer(1);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const ENDS_WITHIN: Duration = Duration::from_secs(600);

/// Leaves the orders in doubt and has them finished.
pub async fn run(
    stack: &Stack,
    accounts: &Accounts,
    orders: usize,
    peaks: &mut PeakMemory,
) -> Result<Run> {
    for name in [CONSUMER, ServerName::OrderApi, ServerName::CdcSync] {
        peaks.stop(stack, name).await?;
    }
    let mut counts = OrderCounts::begin(stack).await?;
    in_doubt::leave(stack, accounts, orders).await?;
    say(&format!("recovery: {orders} orders are in doubt"));
    let meter = CpuMeter::start_with_birth_of(stack, CONSUMER).await?;
    let begun = Instant::now();
    while !counts.none_open().await? {
        ensure!(
            begun.elapsed() < ENDS_WITHIN,
            "some are still in doubt after {} s",
            ENDS_WITHIN.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let cpu = meter.stop()?;
    peaks.stop(stack, CONSUMER).await?;
    let ended = counts.ended().await?;
    ensure!(
        ended.paid == orders && ended.cancelled == 0,
        "of {orders} orders {} are paid and {} cancelled",
        ended.paid,
        ended.cancelled
    );
    Ok(Run {
        orders,
        took: ended.ending,
        cpu,
    })
}
