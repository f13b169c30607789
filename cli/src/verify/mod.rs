//! `holdfast verify`: the invariants on the live stores.
//!
//! What is in flight is told from what is wrong. The command reads only.

mod agreement;
mod comparison;
mod findings;
mod kept;
mod ledger;
mod waiting;

pub use findings::Verdict;

use crate::settings::Settings;
use findings::{Finding, Findings, Invariant};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use store::Stores;

const RETRY_EVERY: Duration = Duration::from_secs(2);

/// How to tell it.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Checks, prints, and exits 0 when all is well, 1 on a breach, 2 when it cannot be told.
pub async fn run(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let stores = Stores::connect(&settings.stores)?;
    // Another shard's database at an address would make every answer worthless.
    stores.check_identities().await?;
    let findings = check(settings, &stores).await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print!("{findings}");
    }
    Ok(ExitCode::from(findings.verdict().exit_code()))
}

/// Checks and prints as part of something bigger, where a server that is down may come back within
/// this time.
pub async fn check_patiently(settings: &Settings, stores: &Stores, patience: Duration) -> Verdict {
    let started = Instant::now();
    let mut findings = check(settings, stores).await;
    while findings.verdict() == Verdict::Unchecked && started.elapsed() < patience {
        eprintln!("Not everything could be checked; trying again.");
        tokio::time::sleep(RETRY_EVERY).await;
        findings = check(settings, stores).await;
    }
    print!("{findings}");
    findings.verdict()
}

async fn check(settings: &Settings, stores: &Stores) -> Findings {
    let agreement = async {
        if settings.search_off {
            return Finding::default();
        }
        agreement::check(settings, stores).await
    };
    let (ledger, agreement, kept) = tokio::join!(
        ledger::check(stores),
        agreement,
        kept::check(settings, stores),
    );
    let rest = [
        (Invariant::Agreement, agreement),
        (Invariant::AcceptedIsKept, kept),
    ];
    Findings::of(ledger.into_iter().chain(rest))
}
