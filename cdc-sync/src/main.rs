//! The follower as a process.

use anyhow::Context;
use cdc_sync::follower;
use cdc_sync::health::Health;
use cdc_sync::settings::{DEFAULT_TOML, Settings};
use cdc_sync::source::servers;
use clap::Parser;
use service::args::Args;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    service::start("cdc-sync");
    let Some(settings) = Args::parse().settings::<Settings>(DEFAULT_TOML)? else {
        return Ok(());
    };
    settings.check()?;
    service::logs::init(&settings.log)?;
    let metrics = service::metrics::install()?;
    let stop = service::shutdown::on_signal()?;

    cdc_sync::lag::describe();

    let servers = servers(&settings.stores, &settings.follower).await?;
    let health = Health::waiting_for(servers.iter().map(|server| server.label.as_str()));
    let readiness = health.readiness().clone();
    // The admin port answers until the follower has written what it has in hand.
    let admin = service::admin::serve(
        &settings.admin,
        readiness.clone(),
        metrics,
        CancellationToken::new(),
    );
    let settings_of_follower = Arc::new(settings.clone());
    let follow = follower::run(settings_of_follower, servers, health, stop.clone());
    tokio::spawn(async move {
        stop.cancelled().await;
        readiness.stopping();
    });
    tokio::select! {
        served = admin => served.context("the admin port failed"),
        followed = follow => followed.context("the follower ended"),
    }
}
