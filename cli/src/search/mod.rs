//! `holdfast search`: how the index of orders stands, writing orders to it again, making it anew, and what
//! it could not take.

mod dead_letters;
pub mod rebuild;
mod redrive;
mod screen;
mod snapshot;

use crate::settings::Settings;
use cdc_sync::search_client::SearchClient;
use cdc_sync::settings::{DEFAULT_TOML, Settings as FollowerDefaults, StoresSettings, Tls};
use cdc_sync::status::{SearchStatus, read};
use chrono::{TimeDelta, Utc};
use dead_letters::DeadLettersArgs;
use domain::{ShardName, StoreKind};
use rebuild::RebuildArgs;
use redrive::RedriveArgs;
use screen::Screen;
use service::settings::UrlList;
use snapshot::SnapshotArgs;
use std::process::ExitCode;
use std::time::Duration;
use store::TlsMode;

/// What to do with search.
#[derive(Debug, clap::Subcommand)]
pub enum SearchCommand {
    /// Tell how fresh search is, shard by shard; exit 1 when one is far behind or its server does not
    /// answer, 2 when it cannot be told.
    Status(StatusArgs),
    /// Write orders to the index in use again, as they are in the stores, while everybody works; exit 1
    /// when it was cancelled, 2 when it cannot be done. Nothing is removed.
    Snapshot(SnapshotArgs),
    /// Make the index anew beside the one in use, and let searches go over to it in one step; exit 1
    /// when the two differ, 2 when it cannot be done.
    Rebuild(RebuildArgs),
    /// Let searches go back to the index they used before the last rebuild, or forward again.
    SwitchBack,
    /// Remove the index beside: the one used before, or a new one that is not in use.
    Discard,
    /// List the changes that could not become documents, the newest first.
    DeadLetters(DeadLettersArgs),
    /// Write the orders of such changes as they are now, and remove what that answers; only tells what it
    /// would do without --yes. Exit 1 when some stay, 2 when that cannot be told.
    Redrive(RedriveArgs),
}

/// How to tell it.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// How far search may be behind before somebody should look.
    #[arg(long, default_value = "1m", value_parser = crate::token::parse_duration)]
    behind_max: Duration,
}

/// Does it.
pub async fn run(settings: &Settings, command: &SearchCommand) -> anyhow::Result<ExitCode> {
    if settings.search_off {
        anyhow::bail!("search is switched off");
    }
    let client = SearchClient::new(&settings.search)?;
    match command {
        SearchCommand::Status(args) => status(settings, args).await,
        SearchCommand::Rebuild(args) => rebuild::rebuild(&client, args).await,
        SearchCommand::SwitchBack => rebuild::switch_back(&client).await,
        SearchCommand::Discard => rebuild::discard(&client).await,
        SearchCommand::Snapshot(args) => snapshot::run(&client, &names(settings), args).await,
        SearchCommand::DeadLetters(args) => dead_letters::run(&client, args).await,
        SearchCommand::Redrive(args) => redrive::run(settings, &client, args).await,
    }
}

async fn status(settings: &Settings, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let defaults: FollowerDefaults = toml::from_str(DEFAULT_TOML)?;
    let status = read(
        &order_shards(settings),
        &defaults.follower,
        &settings.search,
    )
    .await?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&status)?),
        false => print!("{}", Screen::new(&status, Utc::now())),
    }
    let behind_max = TimeDelta::from_std(args.behind_max)?;
    Ok(match needs_a_look(&status, behind_max) {
        true => ExitCode::from(1),
        false => ExitCode::SUCCESS,
    })
}

fn needs_a_look(status: &SearchStatus, behind_max: TimeDelta) -> bool {
    let now = Utc::now();
    status.shards.iter().any(|shard| {
        let is_behind = shard.as_of.is_none_or(|as_of| now - as_of > behind_max);
        is_behind || shard.unreachable.is_some()
    })
}

/// What the order shards are called.
fn names(settings: &Settings) -> Vec<String> {
    let store = StoreKind::Orders;
    let shards = settings.stores.order_shards.iter().zip(0..);
    let names = shards.map(|(_, index)| ShardName { store, index }.to_string());
    names.collect()
}

/// The order shards in the follower's words.
fn order_shards(settings: &Settings) -> StoresSettings {
    let stores = &settings.stores;
    StoresSettings {
        order_shards: UrlList(stores.order_shards.clone()),
        account_shards: UrlList(Vec::new()),
        slot_map_epoch: stores.slot_map_epoch,
        tls: match stores.tls {
            TlsMode::Disabled => Tls::Disabled,
            TlsMode::Preferred => Tls::Preferred,
            TlsMode::Required => Tls::Required,
            TlsMode::VerifyCa => Tls::VerifyCa,
        },
        ca_file: stores.ca_file.clone(),
    }
}
