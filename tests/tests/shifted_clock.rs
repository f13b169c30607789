//! A worker whose clock is wrong decides nothing by it: every deadline is the database's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use holdfast_tests::{Load, LoadSettings, Pipeline};
use std::time::Duration;

/// More than an order may stay undecided, and more than any lease.
const SEVENTEEN_MINUTES_S: i64 = 17 * 60;

/// Started with a clock that is wrong from the first; and, where it jumps, from then on with another.
async fn pays_as_ever(wrong_by: i64, jumps_to: Option<i64>) -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let consumer = pipeline.stack.server("consumer")?;
    consumer.shift_clock(wrong_by)?;
    pipeline.restart("consumer").await?;
    let settings = LoadSettings {
        orders: 400,
        ..LoadSettings::default()
    };
    let load = Load::start(&pipeline, settings).await?;
    if let Some(seconds) = jumps_to {
        tokio::time::sleep(Duration::from_secs(1)).await;
        consumer.shift_clock(seconds)?;
    }
    let figures = load.finish(&pipeline).await?;
    assert!(figures.paid > 0 && figures.cancelled > 0, "{figures:?}");
    assert_eq!(figures.expired, 0, "{figures:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_clock_is_ahead_pays_as_ever() -> Result<()> {
    pays_as_ever(SEVENTEEN_MINUTES_S, None).await
}

#[tokio::test]
async fn a_worker_whose_clock_is_behind_pays_as_ever() -> Result<()> {
    pays_as_ever(-SEVENTEEN_MINUTES_S, None).await
}

#[tokio::test]
async fn a_worker_whose_clock_jumps_ahead_pays_as_ever() -> Result<()> {
    pays_as_ever(0, Some(SEVENTEEN_MINUTES_S)).await
}

#[tokio::test]
async fn a_worker_whose_clock_is_set_back_pays_as_ever() -> Result<()> {
    pays_as_ever(0, Some(-SEVENTEEN_MINUTES_S)).await
}
