//! A minute of `make chaos`, the same schedule each time (`CHAOS_SEED=n` takes another).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use holdfast_tests::Pipeline;
use holdfast_tests::chaos::{Settings, run};
use std::time::Duration;

const SEED: u64 = 3;

#[tokio::test]
async fn money_is_right_after_a_minute_of_chaos() -> Result<()> {
    let seed = std::env::var("CHAOS_SEED").map_or(Ok(SEED), |seed| seed.parse())?;
    let pipeline = Pipeline::up().await?;
    let settings = Settings {
        seed,
        duration: Duration::from_secs(60),
        lanes: 8,
        pause: Duration::from_millis(80),
    };
    let report = run(&pipeline, settings).await?;
    println!("{report}");
    assert!(report.is_green(), "{report:?}");
    assert!(report.paid > 0 && report.cancelled > 0, "{report:?}");
    Ok(())
}
