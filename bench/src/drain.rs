//! `drain`: a backlog on Kafka, and one consumer as shipped that works it off.
//!
//! Neither the API nor the follower runs meanwhile: the figure stands beside `limit`, which has
//! neither. The clock runs from the first order in a store to the last one ended.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::backlog;
use crate::cpu::CpuMeter;
use crate::measured::{PeakMemory, Run};
use crate::order_counts::OrderCounts;
use crate::say;

const CONSUMER: ServerName = ServerName::Consumer(1);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A consumer that ends no order for so long has stopped.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// Puts the backlog down and drains it.
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
    backlog::produce(&stack.env().kafka_brokers, accounts, orders).await?;
    say(&format!("drain: {orders} orders are on Kafka"));
    let meter = CpuMeter::start_with_birth_of(stack, CONSUMER).await?;
    await_end(&mut counts, orders).await?;
    let cpu = meter.stop()?;
    peaks.stop(stack, CONSUMER).await?;
    let ended = counts.ended().await?;
    let refused = backlog::refused(orders);
    ensure!(
        ended.cancelled == refused && ended.paid == orders - refused,
        "of {orders} orders {} are paid and {} cancelled",
        ended.paid,
        ended.cancelled
    );
    Ok(Run {
        orders,
        took: ended.took,
        cpu,
    })
}

/// Waits until this many orders have ended.
async fn await_end(counts: &mut OrderCounts, orders: usize) -> Result<()> {
    let mut seen = 0;
    let mut moved = Instant::now();
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let numbers = counts.numbers().await?;
        if numbers >= orders as u64 && counts.none_open().await? {
            let ended = counts.ended().await?;
            if ended.paid + ended.cancelled >= orders {
                return Ok(());
            }
        }
        if numbers > seen {
            (seen, moved) = (numbers, Instant::now());
        }
        if told.elapsed() > TELL_EVERY {
            say(&format!("drain: {} of {orders}", counts.rows().await?));
            told = Instant::now();
        }
        ensure!(
            moved.elapsed() < SILENT_MAX,
            "the consumer has stopped at {} of {orders} orders",
            counts.rows().await?
        );
    }
}
