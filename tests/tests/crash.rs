//! kill -9 of each process in turn in mid-load: start it again, drain, then INV-1 to INV-7 by name.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use holdfast_tests::{Load, LoadSettings, Pipeline};
use std::time::Duration;
use tokio::time::sleep;

async fn survives_a_kill_of(name: &str) -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let load = Load::start(&pipeline, LoadSettings::default()).await?;
    sleep(Duration::from_millis(1_200)).await;
    let server = pipeline.stack.server(name)?;
    server.kill().await?;
    sleep(Duration::from_millis(800)).await;
    server.start().await?;
    let figures = load.finish(&pipeline).await?;
    assert!(figures.paid > 0 && figures.cancelled > 0, "{figures:?}");
    Ok(())
}

#[tokio::test]
async fn money_is_right_after_a_kill_of_the_consumer() -> Result<()> {
    survives_a_kill_of("consumer").await
}

#[tokio::test]
async fn money_is_right_after_a_kill_of_the_api() -> Result<()> {
    survives_a_kill_of("order-api").await
}

#[tokio::test]
async fn search_is_right_after_a_kill_of_the_follower() -> Result<()> {
    survives_a_kill_of("cdc-sync").await
}

#[tokio::test]
async fn money_is_right_after_a_kill_of_a_database_server() -> Result<()> {
    survives_a_kill_of("mysql-0").await
}

#[tokio::test]
async fn money_is_right_after_a_kill_of_kafka() -> Result<()> {
    survives_a_kill_of("kafka").await
}

#[tokio::test]
async fn search_is_right_after_a_kill_of_elasticsearch() -> Result<()> {
    survives_a_kill_of("elasticsearch").await
}

#[tokio::test]
async fn money_is_right_after_a_kill_of_redis() -> Result<()> {
    survives_a_kill_of("redis").await
}

#[tokio::test]
async fn search_is_right_after_an_orderly_restart_of_a_database_server() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let load = Load::start(&pipeline, LoadSettings::default()).await?;
    sleep(Duration::from_millis(1_200)).await;
    pipeline.restart("mysql-1").await?;
    load.finish(&pipeline).await?;
    Ok(())
}
