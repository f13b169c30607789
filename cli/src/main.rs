//! `holdfast`, the operator's command: sets servers up, makes tokens, finds orders, tells what is
//! stuck and drives it again, checks the invariants, says how fresh search is, and shows the whole
//! pipeline at work.

mod audit;
mod cause;
mod dead_letter;
mod demo;
mod environment;
mod find;
mod kafka_log;
mod open_orders;
mod partition;
mod reconcile;
mod redrive;
mod search;
mod search_index;
mod search_ranges;
mod settings;
mod setup;
mod stuck;
mod token;
mod totals;
mod verify;

use clap::{Parser, Subcommand};
use environment::Environment;
use settings::Settings;
use std::process::ExitCode;

/// The operator's command of Holdfast. It reads .local/stack.env by itself.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring fresh servers to what the services expect: schemas, topics, search index.
    Setup(setup::SetupArgs),
    /// Bring the databases to their schemas.
    Migrate(setup::SetupArgs),
    /// Print a bearer token for local use.
    Token(token::TokenArgs),
    /// Check the invariants on the live stores; exit 1 on a breach, 2 when they cannot be checked.
    Verify(verify::VerifyArgs),
    /// Compare orders, ledger and search with each other, as fast as they can be read; exit 1 when they
    /// differ, 2 when that cannot be told.
    Reconcile(reconcile::ReconcileArgs),
    /// Tell where an order is and why; exit 1 when nobody knows it, 2 when that cannot be told.
    Find(find::FindArgs),
    /// List open orders that are stuck or overdue, with what would unstick them; exit 1 when there
    /// are any, 2 when a shard does not answer or a row cannot be read.
    Stuck(stuck::StuckArgs),
    /// Try stuck orders at once, or put dead letters back; only tells what it would do without --yes.
    Redrive(redrive::RedriveArgs),
    /// Who did what, and whether the record of it is whole.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// How the search index stands.
    #[command(subcommand)]
    Search(search::SearchCommand),
    /// Submit 6,919 real purchases, and check what comes out.
    Demo(demo::DemoArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    service::start("holdfast");
    match run(Args::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("holdfast: {}", cause::told(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let environment = Environment::discover()?;
    let settings = || Settings::of(&environment);
    if audit::is_written_down_first(&command) {
        audit::write_down(&settings()?, &command).await?;
    }
    match command {
        Command::Setup(args) => setup::setup(&settings()?, &args).await?,
        Command::Migrate(args) => setup::migrate(&settings()?, &args).await?,
        Command::Token(args) => token::run(&environment, &settings()?, &args).await?,
        Command::Verify(args) => return verify::run(&settings()?, &args).await,
        Command::Reconcile(args) => return reconcile::run(&settings()?, &args).await,
        Command::Find(args) => return find::run(&settings()?, &args).await,
        Command::Stuck(args) => return stuck::run(&settings()?, &args).await,
        Command::Redrive(args) => return redrive::run(&settings()?, &args).await,
        Command::Audit(command) => return audit::run(&settings()?, &command).await,
        Command::Search(command) => return search::run(&settings()?, &command).await,
        Command::Demo(args) => return demo::run(&environment, &settings()?, &args).await,
    }
    Ok(ExitCode::SUCCESS)
}
