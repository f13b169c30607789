//! What a measurement hands to the report.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use stack::{ServerName, Stack};

use crate::cpu::{self, CpuUse};
use crate::samples::{Latencies, Samples, figure};

/// One run of a measurement.
#[derive(Debug, Clone)]
pub struct Run {
    /// How many orders went through.
    pub orders: usize,
    /// How long they took.
    pub took: Duration,
    /// What it cost.
    pub cpu: CpuUse,
}

impl Run {
    /// Orders per second.
    pub fn rate(&self) -> f64 {
        self.orders as f64 / self.took.as_secs_f64()
    }
}

/// One run of `alone`.
#[derive(Debug, Clone)]
pub struct AloneRun {
    /// What went through.
    pub run: Run,
    /// From the request to the answer `paid`.
    pub latencies: Latencies,
}

/// One run at one door of `accept`.
#[derive(Debug, Clone)]
pub struct AcceptRun {
    /// What was accepted.
    pub run: Run,
    /// From the request to the 202.
    pub latencies: Latencies,
}

/// What both doors did under one load.
#[derive(Debug, Clone)]
pub struct AcceptLevel {
    /// How many connections knocked.
    pub connections: usize,
    /// At our door.
    pub api: Vec<AcceptRun>,
    /// At the bare one.
    pub echo: Vec<AcceptRun>,
}

/// One run of `pipeline`.
#[derive(Debug, Clone)]
pub struct PipelineRun {
    /// From the first POST until all were found.
    pub run: Run,
    /// From the first POST to the last 202.
    pub accepted: Duration,
    /// From paid to found, of a sample.
    pub lags: Latencies,
}

/// One run of `follow`.
#[derive(Debug, Clone)]
pub struct FollowRun {
    /// A backlog in the binlogs, until all of it is found.
    pub replication: Run,
    /// The same without events.
    pub unpublished: Run,
    /// The same while orders go on coming.
    pub catch_up: CatchUp,
    /// All rows, without a position.
    pub snapshot: Run,
    /// The same documents from memory.
    pub direct: Run,
}

/// A backlog in the binlogs, worked off while orders go on coming.
#[derive(Debug, Clone)]
pub struct CatchUp {
    /// How many orders the follower had missed.
    pub backlog: usize,
    /// How many came each second meanwhile.
    pub live_per_second: f64,
    /// Until every order of a moment ago was found.
    pub took: Duration,
    /// From paid to found, of a sample of those that came.
    pub lags: Latencies,
}

/// More callers than places, for a while.
#[derive(Debug, Clone)]
pub struct OverloadRun {
    /// How many asked at once.
    pub connections: usize,
    /// Acceptances per second in each window of five seconds before.
    pub before: Samples,
    /// Acceptances per second meanwhile.
    pub accepted: f64,
    /// Refusals per second meanwhile: 503 with Retry-After.
    pub refused: f64,
    /// Acceptances per second in the first five seconds after.
    pub coming_back: f64,
    /// Acceptances per second in each window of five seconds from then on.
    pub after: Samples,
    /// What the API's peak memory grew by meanwhile, once all were connected, in MB.
    pub grown_mb: f64,
}

impl AcceptRun {
    /// Acceptances per second at a door.
    pub fn rates(runs: &[Self]) -> Samples {
        runs.iter().map(|one| one.run.rate()).collect()
    }

    /// A quantile at a door, in milliseconds.
    pub fn quantiles_ms(runs: &[Self], share: f64) -> Samples {
        let quantile = |one: &Self| one.latencies.quantile_ms(share);
        runs.iter().map(quantile).collect()
    }

    /// CPU microseconds per acceptance of the processes that `counted` names.
    pub fn us_per_order(runs: &[Self], counted: impl Fn(&str) -> bool + Copy) -> Samples {
        let cost = |one: &Self| one.run.cpu.us_per_order(one.run.orders, counted);
        runs.iter().map(cost).collect()
    }
}

impl AcceptLevel {
    /// A line for whoever waits.
    pub fn summary(&self) -> String {
        let [api, echo] =
            [&self.api, &self.echo].map(|runs| figure(AcceptRun::rates(runs).median()));
        format!("{} connections, {api}/s, bare {echo}/s", self.connections)
    }
}

/// The rates of some runs.
pub fn rates(runs: &[Run]) -> Samples {
    runs.iter().map(Run::rate).collect()
}

/// CPU microseconds per order in some runs, of the processes that `counted` names.
pub fn us_per_order(runs: &[Run], counted: impl Fn(&str) -> bool + Copy) -> Samples {
    runs.iter()
        .map(|run| run.cpu.us_per_order(run.orders, counted))
        .collect()
}

/// The most memory each service ever had resident, in MB.
#[derive(Debug, Clone, Default)]
pub struct PeakMemory(pub BTreeMap<String, f64>);

impl PeakMemory {
    /// Notes the peak of a service, if it runs, and stops it.
    pub async fn stop(&mut self, stack: &Stack, name: ServerName) -> Result<()> {
        let service = stack.handle(name);
        if let Some(pid) = service.pid() {
            let mb = cpu::peak_resident_mb(pid)?;
            let peak = self.0.entry(name.to_string()).or_default();
            *peak = peak.max(mb);
        }
        service.stop().await?;
        Ok(())
    }
}
