//! `holdfast-bench`: what the pipeline does, beside what the databases could do and what one order
//! at a time would do, on a stack of its own on this machine.

mod accept;
mod accounts;
mod all_services;
mod alone;
mod backlog;
mod bench_stack;
mod catch_up;
mod cpu;
mod direct;
mod drain;
mod echo;
mod follow;
mod follow_report;
mod followed;
mod goals;
mod http_client;
mod in_doubt;
mod limit;
mod limit_batch;
mod limit_schema;
mod load;
mod machine;
mod markdown;
mod measured;
mod naive;
mod order_counts;
mod order_requests;
mod overload;
mod pipeline;
mod pipeline_report;
mod plan;
mod recovery;
mod report;
mod samples;
mod search_index;
mod session;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use plan::Plan;

/// Measures the pipeline on a local stack of its own and writes a report.
#[derive(Debug, Parser)]
#[command(name = "holdfast-bench", version)]
struct Arguments {
    #[command(subcommand)]
    helper: Option<Helper>,
    #[command(flatten)]
    plan: Plan,
}

/// Processes that the bench starts for itself.
#[derive(Debug, Subcommand)]
enum Helper {
    /// The bare door that `accept` is compared with.
    #[command(hide = true)]
    Echo {
        /// `host:port` of Kafka.
        #[arg(long)]
        brokers: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    service::start("holdfast-bench");
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Helper::Echo { brokers }) = arguments.helper {
        return echo::serve(&brokers).await;
    }
    let plan = arguments.plan;
    if cfg!(debug_assertions) {
        say("this is a debug build: its figures mean nothing");
    }
    let mut results = session::Results::default();
    let measured = session::run(&plan, &mut results).await;
    let text = report::text(&plan, &results);
    std::fs::write(&plan.report, &text)
        .with_context(|| format!("cannot write {}", plan.report.display()))?;
    println!("{text}");
    say(&format!("written to {}", plan.report.display()));
    measured
}

/// A line for whoever waits.
fn say(line: &str) {
    eprintln!("  {} {line}", chrono::Local::now().format("%H:%M:%S"));
}
