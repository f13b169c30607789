//! Four databases of a test's own, made before it and dropped after it, also when it fails.

use domain::{ShardName, StoreKind};
use futures_util::FutureExt;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{Connection, Executor};
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use store::{Stores, StoresSettings};

/// The addresses of the databases that the environment names, one store's.
fn urls(variable: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: these tests need the real servers; run them by `make test`")
    });
    text.split(',').map(str::to_owned).collect()
}

/// Where a test's databases are made: for each shard the URL of a database on its server.
pub struct Servers {
    pub orders: Vec<String>,
    pub accounts: Vec<String>,
}

impl Servers {
    /// Those that the environment names.
    pub fn of_environment() -> Self {
        Self {
            orders: urls("HOLDFAST_ORDER_SHARDS"),
            accounts: urls("HOLDFAST_ACCOUNT_SHARDS"),
        }
    }
}

/// A test's databases: two of each store.
#[derive(Clone)]
pub struct Own {
    pub stores: Stores,
    pub settings: StoresSettings,
    databases: Vec<(String, String)>,
}

impl std::ops::Deref for Own {
    type Target = Stores;
    fn deref(&self) -> &Stores {
        &self.stores
    }
}

/// Runs a test on databases of its own, and drops them also when it fails.
pub async fn with_stores<F: Future<Output = ()>>(test: impl FnOnce(Own) -> F) {
    let patient = StoresSettings {
        connect_timeout_ms: 10_000,
        ..StoresSettings::default()
    };
    with_stores_on(Servers::of_environment(), patient, test).await;
}

/// The same on these servers, and with these settings but for the databases' addresses.
pub async fn with_stores_on<F: Future<Output = ()>>(
    servers: Servers,
    settings: StoresSettings,
    test: impl FnOnce(Own) -> F,
) {
    let own = Own::create(servers, settings).await;
    let outcome = AssertUnwindSafe(test(own.clone())).catch_unwind().await;
    own.stores.close().await;
    own.drop_databases().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Own {
    async fn create(servers: Servers, settings: StoresSettings) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // The hasher's keys are random, and differ from call to call.
        let run = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let mut databases = Vec::new();
        let mut of = |urls: Vec<String>, store: StoreKind| -> Vec<String> {
            let own = urls.into_iter().zip(0..).map(|(url, index)| {
                let (server, _) = url.rsplit_once('/').unwrap();
                let name = format!("t_{run}_{}_{index}", store.as_str());
                databases.push((server.to_owned(), name.clone()));
                format!("{server}/{name}")
            });
            own.collect()
        };
        let order_shards = of(servers.orders, StoreKind::Orders);
        let account_shards = of(servers.accounts, StoreKind::Accounts);
        for (server, name) in &databases {
            run_on(server, format!("CREATE DATABASE {name}")).await;
        }
        let settings = StoresSettings {
            order_shards,
            account_shards,
            ..settings
        };
        let stores = Stores::connect(&settings).unwrap();
        let own = Self {
            stores,
            settings,
            databases,
        };
        futures_util::future::join_all(own.names().map(|name| migrate(&own.settings, name))).await;
        own
    }

    pub fn names(&self) -> impl Iterator<Item = ShardName> + use<> {
        self.stores.routing().names()
    }

    async fn drop_databases(&self) {
        for (server, name) in &self.databases {
            run_on(server, format!("DROP DATABASE {name}")).await;
        }
    }
}

async fn migrate(settings: &StoresSettings, name: ShardName) {
    let url = &settings.urls(name.store)[usize::from(name.index)];
    let pool = MySqlPool::connect(url).await.unwrap();
    let identity = migrations::ShardIdentity {
        name,
        slot_map_epoch: settings.slot_map_epoch,
    };
    migrations::run(&pool, identity).await.unwrap();
    pool.close().await;
}

async fn run_on(server: &str, statement: String) {
    let url = format!("{server}/");
    let mut conn = MySqlConnection::connect(&url).await.unwrap();
    conn.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    conn.close().await.unwrap();
}
