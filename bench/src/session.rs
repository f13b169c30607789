//! One run of the bench: the stack comes up, everything is measured in turn, the stack goes down.
//!
//! What runs with all services comes first, while the follower has nothing to catch up with. Then
//! `limit`, `naive`, `drain` and `recovery` take turns, so that a machine that slows down does so for all.
//! `accept` and `overload` come last: nobody works off what they leave on Kafka.

use anyhow::Result;
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::cpu::CpuMeter;
use crate::limit_schema::RawStores;
use crate::measured::{
    AcceptLevel, AloneRun, FollowRun, OverloadRun, PeakMemory, PipelineRun, Run,
};
use crate::plan::{Measurement, Plan, Sizes};
use crate::samples::figure;
use crate::{
    accept, all_services, bench_stack, drain, follow, limit, machine, naive, overload, recovery,
    say,
};

/// What a token of the bench may do.
const SCOPES: [&str; 4] = [
    "accounts:write",
    "funding:write",
    "orders:write",
    "orders:read",
];
const MERCHANT: &str = "bench";

/// Everything that was measured; empty where it was left out.
#[derive(Debug, Default)]
pub struct Results {
    /// The machine and the servers.
    pub facts: Vec<(&'static str, String)>,
    /// Raw SQL in batches.
    pub limit: Vec<Run>,
    /// Raw SQL, one order at a time.
    pub naive: Vec<Run>,
    /// A backlog through the consumer.
    pub drain: Vec<Run>,
    /// Orders in doubt, finished.
    pub recovery: Vec<Run>,
    /// The follower beside a direct load.
    pub follow: Vec<FollowRun>,
    /// One order at a time through everything.
    pub alone: Vec<AloneRun>,
    /// The API's door beside the bare one.
    pub accept: Vec<AcceptLevel>,
    /// More callers than places; once, as it takes long.
    pub overload: Option<OverloadRun>,
    /// Accept to searchable.
    pub pipeline: Vec<PipelineRun>,
    /// The same at half its pace.
    pub half_load: Vec<PipelineRun>,
    /// The same at a quarter of its pace.
    pub quarter_load: Vec<PipelineRun>,
    /// The services' memory.
    pub peaks: PeakMemory,
}

/// What the services are measured with.
pub struct Client {
    /// Its token.
    pub token: String,
    /// Its accounts, open and funded.
    pub accounts: Accounts,
}

/// Brings the stack up, measures, and takes it down, also after a failure: what was measured by then
/// stays in `results`.
pub async fn run(plan: &Plan, results: &mut Results) -> Result<()> {
    let stack = bench_stack::empty(&plan.root).await?;
    let measured = tokio::select! {
        measured = measure(plan, &stack, results) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    bench_stack::down(&stack).await?;
    measured
}

async fn measure(plan: &Plan, stack: &Stack, results: &mut Results) -> Result<()> {
    let sizes = plan.sizes();
    let servers: &[ServerName] = if plan.needs_services() {
        &ServerName::SERVERS
    } else {
        &[ServerName::Mysql(0), ServerName::Mysql(1)]
    };
    bench_stack::start(stack, servers).await?;
    results.facts = machine::facts(stack).await;
    let client = if plan.needs_services() {
        Some(meet(stack, sizes.payers).await?)
    } else {
        None
    };
    if let Some(client) = &client {
        all_services::measure(plan, stack, client, sizes, results).await?;
        for name in ServerName::SERVICES {
            results.peaks.stop(stack, name).await?;
        }
    }
    for _ in 0..plan.runs {
        raw_and_drain(plan, stack, client.as_ref(), sizes, results).await?;
    }
    if let Some(client) = &client {
        at_the_door(plan, stack, client, sizes, results).await?;
    }
    Ok(())
}

/// Sets the stack up for our services and opens the accounts.
async fn meet(stack: &Stack, payers: usize) -> Result<Client> {
    bench_stack::set_up(stack)?;
    bench_stack::start(stack, &[ServerName::OrderApi]).await?;
    let token = bench_stack::token(stack, MERCHANT, &SCOPES)?;
    let accounts = Accounts::open(&stack.env().api_url, &token, payers).await?;
    say("the accounts are open and funded");
    Ok(Client { token, accounts })
}

/// What the API does alone with Kafka.
async fn at_the_door(
    plan: &Plan,
    stack: &Stack,
    client: &Client,
    sizes: Sizes,
    results: &mut Results,
) -> Result<()> {
    let Client { token, accounts } = client;
    let peaks = &mut results.peaks;
    if plan.has(Measurement::Accept) {
        let runs = plan.runs.into();
        results.accept = accept::run(stack, accounts, token, runs, sizes.accept, peaks).await?;
        peaks.stop(stack, ServerName::OrderApi).await?;
    }
    if plan.has(Measurement::Overload) {
        let one = overload::run(stack, accounts, token, sizes.overload, peaks).await?;
        results.overload = Some(one);
        // Its memory stands beside it: thousands of connections are not what the service is held to.
        stack.handle(ServerName::OrderApi).stop().await?;
    }
    Ok(())
}

/// One turn of those that are compared with each other.
async fn raw_and_drain(
    plan: &Plan,
    stack: &Stack,
    client: Option<&Client>,
    sizes: Sizes,
    results: &mut Results,
) -> Result<()> {
    if plan.has(Measurement::Limit) || plan.has(Measurement::Naive) {
        let stores = RawStores::create(stack, sizes.payers).await?;
        if plan.has(Measurement::Limit) {
            let one = run_limit(stack, &stores, sizes.limit).await?;
            say(&format!("limit: {}/s", figure(one.rate())));
            results.limit.push(one);
        }
        if plan.has(Measurement::Naive) {
            let one = run_naive(stack, &stores, sizes.naive).await?;
            say(&format!("naive: {}/s", figure(one.rate())));
            results.naive.push(one);
        }
        stores.drop().await?;
    }
    let drains = plan.has(Measurement::Drain) || plan.has(Measurement::Follow);
    let follows = plan.has(Measurement::Follow) && stack.services().contains(&ServerName::CdcSync);
    if let Some(client) = client.filter(|_| drains) {
        if follows {
            follow::keep_up(stack, &mut results.peaks).await?;
        }
        let one = drain::run(stack, &client.accounts, sizes.drain, &mut results.peaks).await?;
        say(&format!("drain: {}/s", figure(one.rate())));
        results.drain.push(one);
        if follows {
            let Client { token, accounts } = client;
            let one = follow::run(stack, accounts, token, &mut results.peaks).await?;
            results.follow.push(one);
        }
    }
    if let Some(client) = client.filter(|_| plan.has(Measurement::Recovery)) {
        let peaks = &mut results.peaks;
        let one = recovery::run(stack, &client.accounts, sizes.recovery, peaks).await?;
        say(&format!("recovery: {}/s", figure(one.rate())));
        results.recovery.push(one);
    }
    Ok(())
}

async fn run_limit(stack: &Stack, stores: &RawStores, orders: usize) -> Result<Run> {
    let lanes = limit::prepare(stores, orders)?;
    let meter = CpuMeter::start(stack, &[])?;
    let took = limit::run(stores, lanes).await?;
    let cpu = meter.stop()?;
    Ok(Run { orders, took, cpu })
}

async fn run_naive(stack: &Stack, stores: &RawStores, orders: usize) -> Result<Run> {
    let orders_drawn = limit::draw_orders(stores, orders);
    let meter = CpuMeter::start(stack, &[])?;
    let took = naive::run(stores, orders_drawn).await?;
    let cpu = meter.stop()?;
    Ok(Run { orders, took, cpu })
}
