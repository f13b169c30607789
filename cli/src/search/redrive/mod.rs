//! `holdfast search redrive`: writes the orders of dead letters to search as they are in the stores now,
//! and removes the letters that this answers.
//!
//! Without `--yes` it only tells what it would do. It never touches a database, and what it writes carries
//! the row's version, so it may be killed anywhere and run again.

mod act;
mod judge;

use crate::search_index::SearchIndex;
use crate::settings::Settings;
use act::{Met, Run};
use anyhow::bail;
use cdc_sync::dead_letters::{self, KeptLetter, Sorting, page};
use cdc_sync::search_client::SearchClient;
use domain::OrderId;
use std::process::ExitCode;
use store::Stores;

/// Letters that are looked at together.
const PAGE: usize = 500;

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub struct RedriveArgs {
    /// Those of these orders, ord_...; repeated, or with commas between.
    #[arg(long = "order", value_name = "ORDER", value_delimiter = ',')]
    orders: Vec<OrderId>,
    /// Those whose reason has this text in it; with --order both must hold.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["orders", "reason"])]
    all: bool,
    /// Only tell what would be done, as without --yes.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    yes: bool,
}

impl RedriveArgs {
    /// Whether it only tells what it would do.
    pub fn is_dry(&self) -> bool {
        !self.yes
    }
}

/// Does it, or tells what it would do. Exits 1 when letters stay, 2 when of some it cannot be told.
pub async fn run(
    settings: &Settings,
    client: &SearchClient,
    args: &RedriveArgs,
) -> anyhow::Result<ExitCode> {
    if args.orders.is_empty() && args.reason.is_none() && !args.all {
        bail!("say which dead letters: --order ord_..., --reason TEXT or --all");
    }
    let stores = Stores::connect(&settings.stores)?;
    let index = SearchIndex::new(settings)?;
    let mut run = Run {
        stores: &stores,
        index: &index,
        client,
        yes: args.yes,
        met: Met::default(),
    };
    dead_letters::refresh(client).await?;
    let mut after = None;
    loop {
        let (letters, next) =
            page(client, &args.orders, Sorting::ByOrder, after.as_ref(), PAGE).await?;
        let wanted = letters.into_iter().filter(|letter| is_wanted(letter, args));
        run.redrive(wanted.collect()).await?;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    run.end(&args.orders).await?;
    print!("{}", run.met.told(args.yes));
    stores.close().await;
    Ok(run.met.code())
}

fn is_wanted(letter: &KeptLetter, args: &RedriveArgs) -> bool {
    let text = args.reason.as_ref();
    text.is_none_or(|text| letter.reason.contains(text))
}
