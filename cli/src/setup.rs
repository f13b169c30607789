//! `holdfast setup` and `holdfast migrate`: brings servers that have just started to the state that
//! the services expect. Running it again, or two at once, changes nothing.

use crate::cause;
use crate::settings::Settings;
use anyhow::{Context, bail};
use consumer::topics::{self, TopicError};
use domain::{ShardName, StoreKind};
use migrations::{AuditGuard, ShardIdentity};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use std::str::FromStr;
use std::time::{Duration, Instant};
use store::{Routing, StoresSettings, TlsMode};

const TRY_EVERY: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait.
#[derive(Debug, Clone, clap::Args)]
pub struct SetupArgs {
    /// How long to wait for servers that do not answer yet.
    #[arg(long, default_value = "2m", value_parser = crate::token::parse_duration)]
    wait: Duration,
}

/// Schemas, topics and the search index.
pub async fn setup(settings: &Settings, args: &SetupArgs) -> anyhow::Result<()> {
    let patience = Patience::starting_now(args.wait);
    migrate_all(settings, &patience).await?;
    make_topics(settings, &patience).await?;
    make_index(settings, &patience).await
}

/// Schemas only.
pub async fn migrate(settings: &Settings, args: &SetupArgs) -> anyhow::Result<()> {
    migrate_all(settings, &Patience::starting_now(args.wait)).await
}

async fn migrate_all(settings: &Settings, patience: &Patience) -> anyhow::Result<()> {
    for store in [StoreKind::Orders, StoreKind::Accounts] {
        for (index, url) in (0_u16..).zip(settings.stores.urls(store)) {
            let name = ShardName { store, index };
            let options = connect_options(url, &settings.stores)
                .with_context(|| format!("the URL of {name}"))?;
            let epoch = settings.stores.slot_map_epoch;
            let guard = migrate_one(&options, name, epoch, patience).await?;
            println!("{name} is at its schema.");
            match guard {
                AuditGuard::Made | AuditGuard::NotNeeded => {}
                AuditGuard::NotAllowed(cause) => println!("{}", unguarded(&cause)),
            }
        }
    }
    Ok(())
}

fn unguarded(cause: &str) -> String {
    format!(
        "  This user may not make the triggers that keep its audit trail from being changed: {cause}. Run \
         `holdfast migrate` as a user who may, or grant the services no UPDATE and no DELETE on `audit`."
    )
}

async fn migrate_one(
    options: &MySqlConnectOptions,
    name: ShardName,
    slot_map_epoch: u32,
    patience: &Patience,
) -> anyhow::Result<AuditGuard> {
    let identity = ShardIdentity {
        name,
        slot_map_epoch,
    };
    while let Err(problem) = try_to_connect(options).await {
        patience
            .pause_or_fail(&format!("the database of {name}"), &problem)
            .await?;
    }
    let pool = MySqlPoolOptions::new()
        .max_connections(2)
        .connect_lazy_with(options.clone());
    let migrated = migrations::run(&pool, identity).await;
    pool.close().await;
    Ok(migrated?)
}

/// Outside of a pool, which would hide the cause.
async fn try_to_connect(options: &MySqlConnectOptions) -> Result<(), String> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => {
            // The answer is known; whether the goodbye arrives does not matter.
            let _ = connection.close().await;
            Ok(())
        }
        Ok(Err(error)) => Err(cause::told(&error)),
        Err(_) => Err(format!("no connection within {CONNECT_TIMEOUT:?}")),
    }
}

async fn make_topics(settings: &Settings, patience: &Patience) -> anyhow::Result<()> {
    let order_shards = Routing::new(&settings.stores)?.order_shards();
    loop {
        match topics::ensure(&settings.kafka, &settings.topics, order_shards).await {
            Ok(()) => break,
            Err(TopicError::Unready(problem)) => patience.pause_or_fail("kafka", &problem).await?,
            Err(error @ TopicError::Unfit { .. }) => bail!(error),
        }
    }
    println!("The topics are there and keep what they are given.");
    Ok(())
}

async fn make_index(settings: &Settings, patience: &Patience) -> anyhow::Result<()> {
    if settings.search_off {
        println!("Search is switched off.");
        return Ok(());
    }
    while let Err(error) = cdc_sync::index::setup(&settings.search).await {
        let problem = cause::told(&error);
        patience.pause_or_fail("elasticsearch", &problem).await?;
    }
    println!("The search index is there.");
    Ok(())
}

fn connect_options(url: &str, settings: &StoresSettings) -> anyhow::Result<MySqlConnectOptions> {
    // The error may quote the URL, and the URL holds a password.
    let options = MySqlConnectOptions::from_str(url)
        .map_err(|_| anyhow::anyhow!("cannot be read as mysql://user:password@host:port/name"))?;
    let mode = match settings.tls {
        TlsMode::Disabled => MySqlSslMode::Disabled,
        TlsMode::Preferred => MySqlSslMode::Preferred,
        TlsMode::Required => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
    };
    let options = options.ssl_mode(mode).timezone(None);
    Ok(match &settings.ca_file {
        Some(path) => options.ssl_ca(path),
        None => options,
    })
}

/// Waits for what is not there yet, until its time is up.
struct Patience {
    started: Instant,
    wait: Duration,
}

impl Patience {
    fn starting_now(wait: Duration) -> Self {
        Self {
            started: Instant::now(),
            wait,
        }
    }

    async fn pause_or_fail(&self, what: &str, problem: &str) -> anyhow::Result<()> {
        if self.started.elapsed() > self.wait {
            bail!("{what} did not answer within {:?}: {problem}", self.wait);
        }
        tokio::time::sleep(TRY_EVERY).await;
        Ok(())
    }
}
