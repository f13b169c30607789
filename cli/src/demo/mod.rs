//! `holdfast demo`: real purchases in over HTTP, out again by search, with the books balanced.
//!
//! What must come out follows from the data alone; anything else is a failure.

mod accounts;
mod api;
mod balances;
mod data;
mod drain;
mod expected;
mod finale;
mod hints;
mod page;
mod progress;
mod report;
mod search;
mod submit;

use crate::environment::Environment;
use crate::settings::Settings;
use crate::token::{Grant, Signer};
use crate::verify::{self, Verdict};
use accounts::{Accounts, Openers};
use anyhow::Context;
use api::Api;
use balances::Balances;
use chrono::{DateTime, Utc};
use data::Row;
use domain::Currency;
use drain::Drained;
use expected::Expected;
use report::Report;
use search::Searched;
use std::process::ExitCode;
use std::time::Duration;
use store::Stores;
use submit::{Submission, Submitted};

const TENANT: &str = "demo";
const TOKEN_TTL: Duration = Duration::from_secs(6 * 3_600);

/// How much to submit, and how.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Only the first rows of the data.
    #[arg(long)]
    rows: Option<usize>,
    /// How many requests may be on their way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    /// How long to wait for a server that is down, or an order that does not end.
    #[arg(long, default_value = "5m", value_parser = crate::token::parse_duration)]
    patience: Duration,
}

/// One run: its name, which is also its merchant's, and who speaks for it.
struct Run {
    name: String,
    merchant: Api,
    back_office: Api,
    concurrency: usize,
    patience: Duration,
}

/// Everything that was found out.
struct Findings {
    submitted: Submitted,
    started_at: DateTime<Utc>,
    accept_seconds: f64,
    drained: Drained,
    searched: Option<Searched>,
    balances: Balances,
    verify: Verdict,
}

/// Submits, waits, searches, verifies, and tells.
pub async fn run(
    environment: &Environment,
    settings: &Settings,
    args: &DemoArgs,
) -> anyhow::Result<ExitCode> {
    let rows = data::rows(args.rows)?;
    let expected = expected::expected(&rows);
    let run = Run::start(environment, args)?;
    let stores = Stores::connect(&settings.stores)?;
    stores.check_identities().await?;
    println!(
        "Holdfast demo, run {}: {} purchases of {} customers.",
        run.name,
        rows.len(),
        expected.left_on_account.len()
    );
    let accounts = run.open_accounts(&rows).await?;
    let findings = run
        .play(settings, &stores, &accounts, &rows, &expected)
        .await?;
    let report = findings.report(rows.len());
    let path = environment.folder()?.join("demo-report.json");
    report
        .write(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let top = findings.searched.as_ref().map_or(&[][..], |s| &s.top);
    print!("{}", page::page(&run.name, &report, usd()?, top));
    println!("  figures       {}", path.display());
    let mut problems = findings.problems(&report, &expected);
    if !settings.search_off {
        problems.extend(finale::rebuild(settings).await);
    }
    problems.extend(finale::reconcile(settings).await);
    problems.extend(finale::audit(settings).await);
    for problem in &problems {
        println!("  WRONG: {problem}");
    }
    if !problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let payer = accounts.customer_with_money(&expected);
    let order = findings.submitted.orders.first();
    let shop = accounts.shop;
    print!(
        "{}",
        hints::hints(environment, &run.name, payer, shop, order)?
    );
    Ok(ExitCode::SUCCESS)
}

impl Run {
    fn start(environment: &Environment, args: &DemoArgs) -> anyhow::Result<Self> {
        let now = Utc::now().format("%Y%m%d-%H%M%S");
        let name = format!("cdnow-{now}-{:04x}", rand::random::<u16>());
        let signer = Signer::of(environment)?;
        let base_url = environment.require("HOLDFAST_API_URL")?;
        let api = |merchant, scopes| {
            let grant = Grant {
                tenant: TENANT,
                merchant,
                scopes,
                ttl: TOKEN_TTL,
            };
            Api::new(base_url, signer.sign(&grant)?, args.patience)
        };
        let office = vec!["accounts:write", "accounts:read", "funding:write"];
        Ok(Self {
            merchant: api(Some(&name), vec![])?,
            back_office: api(None, office)?,
            concurrency: usize::from(args.concurrency),
            patience: args.patience,
            name,
        })
    }

    async fn open_accounts(&self, rows: &[Row]) -> anyhow::Result<Accounts> {
        let openers = Openers {
            run: &self.name,
            merchant: &self.merchant,
            back_office: &self.back_office,
            concurrency: self.concurrency,
        };
        openers.open(&expected::funding(rows)).await
    }

    async fn play(
        &self,
        settings: &Settings,
        stores: &Stores,
        accounts: &Accounts,
        rows: &[Row],
        expected: &Expected,
    ) -> anyhow::Result<Findings> {
        let submission = Submission {
            run: &self.name,
            api: &self.merchant,
            accounts,
            concurrency: self.concurrency,
        };
        let started_at = Utc::now();
        let mut submitted = submission.run(rows).await?;
        let accept_seconds = seconds_between(started_at, Utc::now());
        let drained = drain::drain(stores, &submitted.orders, self.patience).await?;
        // A marker that was lost with its Redis is made good by the row, which now exists.
        submitted.replayed += submission.repeat(&submitted.unrecognised).await?;
        let searched = if settings.search_off {
            println!("Search is switched off, so nothing is searched.");
            None
        } else {
            let question = search::Question {
                api: &self.merchant,
                orders: submitted.orders.len(),
                since: drained.last_at,
                patience: self.patience,
            };
            Some(question.ask(accounts).await?)
        };
        let balances =
            balances::read(&self.back_office, accounts, expected, self.concurrency).await?;
        println!("Checking the invariants on the live stores.");
        let verify = verify::check_patiently(settings, stores, self.patience).await;
        Ok(Findings {
            submitted,
            started_at,
            accept_seconds,
            drained,
            searched,
            balances,
            verify,
        })
    }
}

impl Findings {
    fn report(&self, submitted: usize) -> Report {
        let cancelled = self.drained.cancelled_by_reason.values().sum();
        let since_start = |at| seconds_between(self.started_at, at);
        Report {
            submitted,
            refused: self.submitted.refused,
            replayed: self.submitted.replayed,
            accepted: self.submitted.orders.len(),
            paid: self.drained.paid,
            cancelled,
            cancelled_by_reason: self.drained.cancelled_by_reason.clone(),
            paid_minor_units: self.drained.paid_minor_units,
            held_minor_units: self.balances.held,
            searchable: self.searched.as_ref().map(|s| s.orders),
            accept_seconds: self.accept_seconds,
            drained_seconds: since_start(self.drained.last_at),
            searchable_seconds: self.searched.as_ref().map(|s| since_start(s.at)),
            verify: self.verify.as_str(),
        }
    }

    fn problems(&self, report: &Report, expected: &Expected) -> Vec<String> {
        let mut problems = report.mismatches(expected);
        if self.balances.shop != report.paid_minor_units {
            problems.push(format!(
                "the shop has {} minor units, and its paid orders come to {}",
                self.balances.shop, report.paid_minor_units
            ));
        }
        problems.extend(self.balances.wrong.iter().cloned());
        if let Some(searched) = &self.searched {
            let amounts: Vec<i64> = searched.top.iter().map(|c| c.paid_minor_units).collect();
            if amounts != expected.top_amounts() {
                problems.push(format!(
                    "the best customers paid {amounts:?} by search, and must have paid {:?}",
                    expected.top_amounts()
                ));
            }
        }
        problems
    }
}

impl Accounts {
    /// A customer whose money was released, so that it can buy something more.
    fn customer_with_money(&self, expected: &Expected) -> Option<domain::AccountId> {
        let mut left = expected.left_on_account.iter();
        let (customer, _) = left.find(|(_, left)| **left >= hints::AMOUNT)?;
        self.customers.get(customer).copied()
    }
}

fn usd() -> anyhow::Result<Currency> {
    "USD".parse().context("the currency of the data")
}

fn seconds_between(start: DateTime<Utc>, end: DateTime<Utc>) -> f64 {
    (end - start).as_seconds_f64().max(0.0)
}
