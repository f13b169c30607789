//! The API's process: settings, logs, metrics, the door, and an orderly end.

use clap::Parser;
use order_api::{Api, DEFAULT_TOML, Settings};
use service::args::Args;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::start("order-api");
    let Some(settings) = Args::parse().settings::<Settings>(DEFAULT_TOML)? else {
        return Ok(());
    };
    service::logs::init(&settings.log)?;
    let metrics = service::metrics::install()?;
    let stop = service::shutdown::on_signal()?;
    let admin_settings = settings.admin.clone();
    let api = Api::bind(settings, stop.clone()).await?;
    // The probes answer until the very end, so that a watcher sees the stopping.
    let admin_stop = tokio_util::sync::CancellationToken::new();
    let readiness = api.readiness.clone();
    let admin_stopped = admin_stop.clone();
    let admin = tokio::spawn(async move {
        service::admin::serve(&admin_settings, readiness, metrics, admin_stopped).await
    });
    let served = tokio::select! {
        served = api.serve() => served,
        admin = admin => return admin?,
    };
    admin_stop.cancel();
    served
}
