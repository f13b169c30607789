//! The follower as a process.

use anyhow::Context;
use cdc_sync::follower;
use cdc_sync::health::Health;
use cdc_sync::settings::{DEFAULT_TOML, Settings};
use cdc_sync::source::servers;
use clap::Parser;
use service::args::Args;
use std::sync::Arc;

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

    let servers = servers(&settings.stores, &settings.follower).await?;
    let health = Health::waiting_for(servers.iter().map(|server| server.label.as_str()));
    let readiness = health.readiness().clone();
    let admin = service::admin::serve(&settings.admin, readiness.clone(), metrics, stop.clone());
    let settings_of_follower = Arc::new(settings.clone());
    let follow = follower::run(settings_of_follower, servers, health, stop.clone());
    tokio::select! {
        served = admin => served.context("the admin port failed"),
        followed = async {
            let followed = follow.await;
            readiness.stopping();
            followed
        } => followed.context("the follower ended"),
    }
}
