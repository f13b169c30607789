//! What is measured while all services run: one order alone, and the pipeline at full, half and quarter pace.

use anyhow::Result;
use stack::{ServerName, Stack};

use crate::pipeline::Load;
use crate::plan::{Measurement, Plan, Sizes};
use crate::samples::figure;
use crate::session::{Client, Results};
use crate::{alone, bench_stack, pipeline, say};

/// Bursts that are not counted.
const WARM_UPS: usize = 5;
/// Parts of the pace at which the pipeline is measured as well.
const PARTS: [u8; 2] = [2, 4];

/// Measures what the plan names of these.
pub async fn measure(
    plan: &Plan,
    stack: &Stack,
    client: &Client,
    sizes: Sizes,
    results: &mut Results,
) -> Result<()> {
    let (alone, pipeline) = (
        plan.has(Measurement::Alone),
        plan.has(Measurement::Pipeline),
    );
    if !alone && !pipeline {
        return Ok(());
    }
    let services = stack.services();
    bench_stack::start(stack, &services).await?;
    let pipeline = pipeline && services.contains(&ServerName::CdcSync);
    if pipeline {
        warm_up(stack, client, sizes).await?;
    }
    for number in 0..plan.runs {
        if alone {
            let one = alone::run(stack, &client.accounts, &client.token, sizes.alone).await?;
            let p50 = figure(one.latencies.quantile_ms(0.5));
            say(&format!("alone: p50 {p50} ms"));
            results.alone.push(one);
        }
        if pipeline {
            at_each_pace(stack, client, sizes, number, results).await?;
        }
    }
    Ok(())
}

/// Kafka and Elasticsearch compile what they run for minutes, and a moderate load runs other parts of them
/// than a burst. A quarter of the pace leaves them the time for it, which a higher one would not.
async fn warm_up(stack: &Stack, client: &Client, sizes: Sizes) -> Result<()> {
    let Client { token, accounts } = client;
    let mut rate = f64::MAX;
    for number in 1..=WARM_UPS {
        say(&format!("pipeline: warming up, {number} of {WARM_UPS}"));
        let reference = format!("warm-up-{number}");
        let burst = Load::burst(sizes.pipeline);
        let one = pipeline::run(stack, accounts, token, burst, &reference).await?;
        rate = one.run.rate();
    }
    say("pipeline: warming up at a quarter of its pace, for some minutes");
    let pace = rate / 4.0;
    let orders = pace * sizes.paced_warm_up.as_secs_f64();
    let load = Load::paced(orders as usize, pace);
    pipeline::run(stack, accounts, token, load, "warm-up-paced").await?;
    Ok(())
}

async fn at_each_pace(
    stack: &Stack,
    client: &Client,
    sizes: Sizes,
    number: u8,
    results: &mut Results,
) -> Result<()> {
    let Client { token, accounts } = client;
    let reference = format!("pipeline-{number}");
    let burst = Load::burst(sizes.pipeline);
    let one = pipeline::run(stack, accounts, token, burst, &reference).await?;
    let rate = one.run.rate();
    say(&format!("pipeline: {}/s", figure(rate)));
    results.pipeline.push(one);
    let runs = [&mut results.half_load, &mut results.quarter_load];
    for (part, runs) in PARTS.into_iter().zip(runs) {
        let load = Load::paced(sizes.pipeline, rate / f64::from(part));
        let reference = format!("one-in-{part}-{number}");
        let one = pipeline::run(stack, accounts, token, load, &reference).await?;
        let p99 = figure(one.lags.quantile_ms(0.99));
        say(&format!(
            "at 1/{part} of that, paid to searchable p99 {p99} ms"
        ));
        runs.push(one);
    }
    Ok(())
}
