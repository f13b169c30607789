//! `make chaos`: random faults on a stack of its own, then the books. Exits 1 when anything is lost,
//! doubled or an invariant is broken.

use anyhow::{Context, Result};
use clap::Parser;
use holdfast_tests::Pipeline;
use holdfast_tests::chaos::{Report, Settings, run};
use stack::{Stack, StackOptions};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
struct Arguments {
    /// The folder of the stack; its binaries are in `bin/` already, its data are made anew.
    #[arg(long, default_value = ".local/chaos")]
    root: PathBuf,
    /// Where the report goes.
    #[arg(long, default_value = ".local/chaos-report.json")]
    report: PathBuf,
    /// How long faults are at work.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Makes the same schedule again; random when not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Orders that are submitted at once.
    #[arg(long, default_value_t = 12)]
    lanes: usize,
    /// Milliseconds between two orders of a lane.
    #[arg(long, default_value_t = 50)]
    pause_ms: u64,
    /// Leaves everything running, to look at.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match chaos(Arguments::parse()).await {
        Ok(report) if report.is_green() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn chaos(arguments: Arguments) -> Result<Report> {
    if arguments.root.join("stack.env").is_file() {
        let last = Stack::open(&arguments.root)?;
        last.wipe_data().await?;
        std::fs::remove_file(last.layout().stack_env())?;
    }
    let stack = Stack::create(&arguments.root, StackOptions::default()).await?;
    let running = async {
        tokio::select! {
            outcome = on(stack.clone(), &arguments) => outcome,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    };
    let outcome = running.await;
    if !arguments.keep {
        stack.down().await?;
    }
    outcome
}

async fn on(stack: Stack, arguments: &Arguments) -> Result<Report> {
    let pipeline = Pipeline::on(stack)?;
    pipeline.start_whatever_is_down().await?;
    let settings = Settings {
        // Numbers that every reader of JSON can hold.
        seed: arguments
            .seed
            .unwrap_or_else(|| rand::random::<u32>().into()),
        duration: Duration::from_secs(arguments.seconds),
        lanes: arguments.lanes,
        pause: Duration::from_millis(arguments.pause_ms),
    };
    let report = run(&pipeline, settings).await?;
    print!("\n{report}");
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(&arguments.report, json + "\n").context("the report")?;
    Ok(report)
}
