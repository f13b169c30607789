//! `holdfast reconcile`: orders, ledger and search say the same of every order.
//!
//! Every table and the index are read once and added up by ranges of ids, each side with a checksum of
//! what the other must say ([`scan`]). Only ranges whose sums differ are looked into ([`narrow`]), down
//! to single orders, and these are looked at twice, because stores are never read at one instant
//! ([`search_judge`], [`ledger_judge`]). `verify` asks for more rules and takes longer: what this one
//! reads grows with the stores, what it keeps does not.

mod checksum;
mod difference;
mod findings;
mod ledger_judge;
mod ledger_pair;
mod moment;
mod narrow;
mod progress;
mod repair;
pub mod row;
mod scan;
mod search_judge;
mod search_pair;
pub mod since;
mod watch;

use crate::search_index::SearchIndex;
use crate::search_ranges::{NotAnswered, SearchRanges};
use crate::settings::Settings;
use anyhow::{Context, bail};
use cdc_sync::rebuild::record;
use findings::Findings;
use moment::Moment;
use narrow::Side;
use progress::Progress;
use since::Since;
use std::cell::Cell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use store::Stores;

/// What to compare, and what to do about it.
#[derive(Debug, clap::Args)]
pub struct ReconcileArgs {
    /// Only orders made from then on: a time such as 2026-11-21T09:00:00Z, or a span such as 24h.
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    since: Option<Since>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Write to search what the orders say. Money is never repaired.
    #[arg(long)]
    repair_search: bool,
    /// Delete the documents that have no order, entry or hold, too: only where no order was lost.
    #[arg(long, requires = "repair_search")]
    delete_orphans: bool,
    /// Compare again and again, at this pace (such as 5m), and tell what was found as metrics.
    #[arg(long, value_name = "SPAN", value_parser = pace, conflicts_with = "repair_search")]
    every: Option<Duration>,
    /// Where the metrics are told, and whether all is well.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "every",
        default_value = "127.0.0.1:9105"
    )]
    listen: SocketAddr,
}

fn pace(text: &str) -> Result<Duration, String> {
    let pace = crate::token::parse_duration(text)?;
    match pace.is_zero() {
        true => Err("comparisons must be at least 1s apart".to_owned()),
        false => Ok(pace),
    }
}

impl ReconcileArgs {
    /// Whether it may write to search.
    pub fn repairs(&self) -> bool {
        self.repair_search
    }
}

/// A reconciliation under way.
struct Reconciliation<'a> {
    stores: &'a Stores,
    search: Option<Search>,
    moment: Moment,
    repair_search: bool,
    delete_orphans: bool,
    /// Search did not come up to what was seen the last time.
    search_stands_still: Cell<bool>,
}

/// The index, to be read by ranges and asked how fresh it is.
struct Search {
    ranges: SearchRanges,
    index: SearchIndex,
}

/// Compares, prints, and exits 0 when all agree, 1 when not, 2 when it cannot be told.
pub async fn run(settings: &Settings, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    if let Some(every) = args.every {
        return watch::run(settings, args, every, args.listen).await;
    }
    let findings = compare(settings, args).await?;
    show(args, &findings)?;
    Ok(ExitCode::from(findings.exit_code()))
}

fn show(args: &ReconcileArgs, findings: &Findings) -> anyhow::Result<()> {
    match (args.json, args.every) {
        (true, Some(_)) => println!("{}", serde_json::to_string(findings)?),
        (true, None) => println!("{}", serde_json::to_string_pretty(findings)?),
        (false, Some(_)) => println!("{}", findings.line()),
        (false, None) => print!("{findings}"),
    }
    Ok(())
}

/// Compares everything as it is now.
pub async fn compare_all(settings: &Settings) -> anyhow::Result<Findings> {
    let args = ReconcileArgs {
        since: None,
        json: false,
        repair_search: false,
        delete_orphans: false,
        every: None,
        listen: ([127, 0, 0, 1], 0).into(),
    };
    compare(settings, &args).await
}

async fn compare(settings: &Settings, args: &ReconcileArgs) -> anyhow::Result<Findings> {
    let started = Instant::now();
    let search = search(settings, args).context("cannot ask search")?;
    let stores = Stores::connect(&settings.stores)?;
    if let Some((shard, cause)) = stores.check_identities().await?.into_iter().next() {
        bail!("{shard} is away, so nothing can be told: {cause}");
    }
    if let Some(search) = search.as_ref().filter(|_| args.repair_search) {
        ensure_no_rebuild(search).await?;
    }
    let moment = moment::find(&stores, search.as_ref(), args.since).await?;
    let reconciliation = Reconciliation {
        stores: &stores,
        search,
        moment,
        repair_search: args.repair_search,
        delete_orphans: args.delete_orphans,
        search_stands_still: Cell::new(false),
    };
    let mut findings = reconciliation.run().await?;
    findings.finish(started.elapsed());
    Ok(findings)
}

/// A repair would go past the follower, who has just made two indices equal.
async fn ensure_no_rebuild(search: &Search) -> anyhow::Result<()> {
    let found = record::load(&search.ranges.client).await;
    let found = found.map_err(NotAnswered)?;
    if found.is_some_and(|found| found.document.phase.goes_on()) {
        bail!("--repair-search: the index is being made anew; ask again when that is over");
    }
    Ok(())
}

/// None where it is switched off.
fn search(settings: &Settings, args: &ReconcileArgs) -> anyhow::Result<Option<Search>> {
    if settings.search_off {
        if args.repair_search {
            bail!("--repair-search: search is switched off");
        }
        return Ok(None);
    }
    Ok(Some(Search {
        ranges: SearchRanges::new(&settings.search)?,
        index: SearchIndex::new(settings)?,
    }))
}

impl Reconciliation<'_> {
    async fn run(&self) -> anyhow::Result<Findings> {
        let mut findings = Findings::new(&self.moment);
        let mut progress = Progress::start();
        let scan = self.scan(&mut findings, &mut progress).await?;
        findings.orders = scan.orders.orders;
        findings.in_flight += scan.orders.in_flight;
        let ledger = narrow::compare(&scan.orders.entries, &scan.entries);
        self.narrow(Side::Ledger, ledger, &mut findings, &mut progress)
            .await?;
        if self.search.is_some() {
            let documents = narrow::compare(&scan.orders.documents, &scan.documents);
            self.narrow(Side::Search, documents, &mut findings, &mut progress)
                .await?;
            self.look_at_strays(&scan.strays, &mut findings).await?;
        }
        Ok(findings)
    }
}
