//! The books, once all is quiet: `holdfast verify` and the recording client's own.

use super::DECIDED_WITHIN;
use super::report::Report;
use crate::events::Listener;
use crate::invariants;
use crate::pipeline::Pipeline;
use crate::recorder::Recorder;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SETTLED_WITHIN: Duration = Duration::from_secs(180);
const LISTED_MAX: usize = 20;

/// Checks everything, prints what is wrong, and writes it into the report. `decided` is how long after
/// quiet the last accepted order ended.
pub(super) async fn reach(
    pipeline: &Pipeline,
    recorder: &Recorder,
    listener: &Listener,
    decided: Option<Duration>,
    report: &mut Report,
) -> Result<()> {
    verify(pipeline, report).await?;
    let figures = recorder.check(pipeline).await?;
    for breach in figures.breaches().take(LISTED_MAX) {
        println!("broken promise: {breach}");
    }
    if figures.expired > 0 {
        println!("{} orders ran out of time", figures.expired);
    }
    report.accepted = figures.accepted;
    report.paid = figures.paid;
    report.cancelled = figures.cancelled;
    report.lost = figures.lost.len();
    report.doubled = figures.doubled.len();
    let mut also = |name: &str, holds: bool| {
        let verdict = report.invariants.entry(name.to_owned()).or_insert(true);
        *verdict &= holds;
    };
    also("INV-4", figures.mistaken.is_empty());
    also(
        "INV-7",
        figures.lost.is_empty() && figures.untrue.is_empty(),
    );
    let untold = listener.breaches(pipeline.stack.env()).await?;
    for breach in untold.iter().take(LISTED_MAX) {
        println!("broken promise: {breach}");
    }
    also("INV-6", untold.is_empty());
    // Nothing was away for the quarter of an hour that an order may stay undecided.
    let in_time = decided.is_some_and(|time| time <= DECIDED_WITHIN);
    also("INV-8", in_time && figures.expired == 0);
    Ok(())
}

/// INV-1 to INV-7 by the operator's command, once nothing is in flight any more.
async fn verify(pipeline: &Pipeline, report: &mut Report) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (text, code) = pipeline.try_holdfast(&["verify", "--json"]).await?;
        let findings: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let of = |name: &str| findings["invariants"][name].clone();
        let unsettled = code == 2
            || invariants::NAMES
                .iter()
                .any(|name| of(name)["in_flight"].as_u64() != Some(0));
        if code != 1 && unsettled && begun.elapsed() < SETTLED_WITHIN {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        for name in invariants::NAMES {
            let finding = of(name);
            let holds = finding["ok"] == Value::Bool(true);
            if !holds || finding["in_flight"].as_u64() != Some(0) {
                println!("{name}: {finding:#}");
            }
            let settled = finding["in_flight"].as_u64() == Some(0);
            report.invariants.insert(name.to_owned(), holds && settled);
        }
        return Ok(());
    }
}
