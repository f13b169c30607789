//! What is to be measured, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// A measurement by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// The five rounds as raw SQL in batches.
    Limit,
    /// The five rounds as raw SQL, one order at a time.
    Naive,
    /// A backlog on Kafka, worked off by one consumer.
    Drain,
    /// Orders left in doubt, finished by one consumer.
    Recovery,
    /// What `drain` left in the binlogs, worked off by the follower; a snapshot; a direct load.
    Follow,
    /// One order at a time, from the request to paid.
    Alone,
    /// POST to 202 at increasing load, beside a bare echo.
    Accept,
    /// Far more callers than the API has places.
    Overload,
    /// From the first POST until all is searchable.
    Pipeline,
}

/// What the command line asks for.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Measure these only, separated by commas.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub only: Vec<Measurement>,
    /// How often each is measured; the median is what counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub runs: u8,
    /// Orders in the backlog of `drain`.
    #[arg(long, default_value_t = 200_000)]
    pub orders: usize,
    /// A tenth of everything: shows that the bench works, and says nothing about speed.
    #[arg(long)]
    pub quick: bool,
    /// Where the report goes.
    #[arg(long, default_value = "bench/report.md")]
    pub report: PathBuf,
    /// The folder of the bench's own stack.
    #[arg(long, default_value = ".local/bench")]
    pub root: PathBuf,
}

/// How much each measurement takes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Customers that pay, each as often as any other.
    pub payers: usize,
    /// Orders of `limit`.
    pub limit: usize,
    /// Orders of `naive`.
    pub naive: usize,
    /// Orders of `drain`.
    pub drain: usize,
    /// Orders of `recovery`.
    pub recovery: usize,
    /// Orders of `alone`.
    pub alone: usize,
    /// Orders of `pipeline`.
    pub pipeline: usize,
    /// How long `pipeline` warms up at a quarter of its pace.
    pub paced_warm_up: Duration,
    /// How long each run of `accept` takes.
    pub accept: Duration,
    /// How long `overload` lasts.
    pub overload: Duration,
}

impl Plan {
    /// Whether this is measured.
    pub fn has(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    /// Whether anything is measured that needs more than the databases.
    pub fn needs_services(&self) -> bool {
        let services = [
            Measurement::Drain,
            Measurement::Recovery,
            Measurement::Follow,
            Measurement::Alone,
            Measurement::Accept,
            Measurement::Overload,
            Measurement::Pipeline,
        ];
        services
            .into_iter()
            .any(|measurement| self.has(measurement))
    }

    /// How much each takes.
    pub fn sizes(&self) -> Sizes {
        let share = if self.quick { 10 } else { 1 };
        Sizes {
            payers: 5_000 / share,
            limit: 100_000 / share,
            naive: 10_000 / share,
            drain: self.orders / share,
            recovery: self.orders / 2 / share,
            alone: 400 / share,
            pipeline: 20_000 / share,
            paced_warm_up: Duration::from_secs(300 / share as u64),
            accept: Duration::from_millis(3_000 / share as u64),
            overload: Duration::from_secs(60 / share as u64),
        }
    }
}
