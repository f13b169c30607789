//! A worker whose clock is wrong decides nothing by it: every deadline is the database's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use holdfast_tests::{Load, LoadSettings, Merchant, Pipeline};
use std::time::Duration;

const SEVENTEEN_MINUTES_S: i64 = 17 * 60;

/// Seventeen minutes are more than an order may stay undecided, and more than any lease.
async fn pays_as_ever_with_its_clock_shifted_by(seconds: i64) -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let consumer = pipeline.stack.server("consumer")?;
    consumer.shift_clock(0)?;
    pipeline.restart("consumer").await?;
    consumer.shift_clock(seconds)?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    let answer = shop
        .client
        .post_and_wait("k", &shop.order(&customer, 1_000), 20)
        .await?;
    assert_eq!(answer.text("status"), "paid", "{answer:?}");

    let settings = LoadSettings {
        orders: 200,
        ..LoadSettings::default()
    };
    let load = Load::start(&pipeline, settings).await?;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // The clock jumps back, and then a worker with the right one takes over.
    consumer.shift_clock(0)?;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    consumer.shift_clock(seconds)?;
    consumer.kill().await?;
    pipeline.stack.server("consumer-2")?.start().await?;
    let figures = load.finish(&pipeline).await?;
    assert!(figures.paid > 0 && figures.cancelled > 0, "{figures:?}");
    assert_eq!(figures.expired, 0, "{figures:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "under libfaketime a worker may not join its group"]
async fn a_worker_whose_clock_is_ahead_expires_nothing() -> Result<()> {
    pays_as_ever_with_its_clock_shifted_by(SEVENTEEN_MINUTES_S).await
}

#[tokio::test]
#[ignore = "under libfaketime a worker may not join its group"]
async fn a_worker_whose_clock_is_behind_pays_as_ever() -> Result<()> {
    pays_as_ever_with_its_clock_shifted_by(-SEVENTEEN_MINUTES_S).await
}
