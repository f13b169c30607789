//! The consumer dies at a named point between two rounds; another finishes the work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::{Result, bail};
use holdfast_tests::{Load, LoadSettings, Pipeline};
use std::time::Duration;
use tokio::time::sleep;

/// What a worker began is another's after this, in the place of 30 s.
const SHORT_LEASE: (&str, &str) = ("HOLDFAST__ORDERS__LEASE_MS", "8000");

async fn another_finishes_what_died(point: &str) -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let consumer = pipeline.stack.server("consumer")?;
    consumer.stop().await?;
    let settings = LoadSettings {
        orders: 80,
        pause: Duration::ZERO,
        ..LoadSettings::default()
    };
    let load = Load::start(&pipeline, settings).await?;
    let death = format!("{point}=abort");
    pipeline.give_services_more(&[("HOLDFAST_FAULTS", &death), SHORT_LEASE])?;
    consumer.launch().await?;
    for _ in 0..300 {
        if consumer.pid().is_none() {
            pipeline.give_services_more(&[SHORT_LEASE])?;
            pipeline.stack.server("consumer-2")?.start().await?;
            let figures = load.finish(&pipeline).await?;
            assert!(figures.paid > 0 && figures.cancelled > 0, "{figures:?}");
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("the consumer never died at {point}; is it built with the feature `failpoints`?")
}

macro_rules! dies_at {
    ($($test:ident: $point:literal;)*) => {$(
        #[tokio::test]
        async fn $test() -> Result<()> {
            another_finishes_what_died($point).await
        }
    )*};
}

dies_at! {
    a_death_after_the_log_leaves_money_right: "after-log";
    a_death_after_the_try_of_one_shard_leaves_money_right: "after-try-one-shard";
    a_death_after_the_try_leaves_money_right: "after-try";
    a_death_after_the_decision_leaves_money_right: "after-decide";
    a_death_after_the_confirm_of_one_shard_leaves_money_right: "after-confirm-one-shard";
    a_death_before_the_end_leaves_money_right: "after-finish";
    a_death_after_the_end_leaves_money_right: "after-end";
    a_death_before_the_offset_commit_leaves_money_right: "before-offset-commit";
}
