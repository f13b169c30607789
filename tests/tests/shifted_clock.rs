//! A worker whose clock is wrong decides nothing by it: every deadline is the database's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use holdfast_tests::{Load, LoadSettings, Pipeline, PipelineGuard};
use stack::{Server, StopOutcome};
use std::time::Duration;

/// More than an order may stay undecided, and more than any lease.
const SEVENTEEN_MINUTES_S: i64 = 17 * 60;
/// Until every wait of the Kafka client was begun by the new clock.
const FELT: Duration = Duration::from_secs(5);

/// Started with a clock that is wrong from the first; and, where it jumps, from then on with another.
async fn pays_as_ever(wrong_by: i64, jumps_to: Option<i64>) -> Result<()> {
    let (pipeline, consumer) = with_clock(wrong_by).await?;
    let load = Load::start(&pipeline, LoadSettings::default()).await?;
    if let Some(seconds) = jumps_to {
        tokio::time::sleep(Duration::from_secs(1)).await;
        consumer.shift_clock(seconds)?;
    }
    ends_well(load, &pipeline, &consumer).await
}

/// All up, the worker with a clock that is wrong by so many seconds.
async fn with_clock(wrong_by: i64) -> Result<(PipelineGuard, Server)> {
    let pipeline = Pipeline::up().await?;
    let consumer = pipeline.stack.server("consumer")?;
    consumer.shift_clock(wrong_by)?;
    pipeline.restart("consumer").await?;
    Ok((pipeline, consumer))
}

async fn ends_well(load: Load, pipeline: &Pipeline, consumer: &Server) -> Result<()> {
    let figures = load.finish(pipeline).await?;
    assert!(figures.paid > 0 && figures.cancelled > 0, "{figures:?}");
    assert_eq!(figures.expired, 0, "{figures:?}");
    assert_eq!(consumer.stop().await?, StopOutcome::Orderly);
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

#[tokio::test]
async fn an_idle_worker_whose_clock_went_ahead_and_came_back_pays_as_ever() -> Result<()> {
    let (pipeline, consumer) = with_clock(0).await?;
    consumer.shift_clock(SEVENTEEN_MINUTES_S)?;
    tokio::time::sleep(FELT).await;
    consumer.shift_clock(0)?;
    tokio::time::sleep(FELT).await;
    let load = Load::start(&pipeline, LoadSettings::default()).await?;
    ends_well(load, &pipeline, &consumer).await
}
