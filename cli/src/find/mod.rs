//! `holdfast find`: where an order is and why, across stores, log, Redis and search.

mod evidence;
mod gather;
mod records;
mod screen;
mod sentence;

use crate::settings::Settings;
use domain::OrderId;
use sentence::Found;
use std::process::ExitCode;
use std::time::Duration;
use store::Stores;

/// Which order, and how far to look.
#[derive(Debug, clap::Args)]
pub struct FindArgs {
    /// The order, ord_...
    id: OrderId,
    /// How far back to look on Kafka for an order that has no row yet.
    #[arg(long, default_value = "1h", value_parser = crate::token::parse_duration)]
    since: Duration,
}

/// Looks everywhere, and prints one screen.
pub async fn run(settings: &Settings, args: &FindArgs) -> anyhow::Result<ExitCode> {
    let stores = Stores::connect(&settings.stores)?;
    let down = stores.check_identities().await?.into_iter().collect();
    let evidence = gather::gather(settings, &stores, &down, args.id, args.since).await;
    let (found, sentence) = sentence::sentence(&evidence);
    print!("{}", screen::screen(args.id, &sentence, &evidence));
    Ok(match found {
        Found::Yes => ExitCode::SUCCESS,
        Found::No => ExitCode::from(1),
        Found::CannotTell => ExitCode::from(2),
    })
}
