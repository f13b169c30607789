//! Databases of a test's own on the stack's servers, and a small business to run on them.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod harness;
pub mod journal;
pub mod meters;
pub mod outcomes;

use saga::{FENCE_TABLE_SQL, GLOBAL_TX_SQL, Shard, ShardId, Shards};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use std::str::FromStr;
use std::time::Duration;

/// Two log shards and two branch shards, one of each on each server, with names of their own.
pub struct Databases {
    /// What the engine runs on.
    pub shards: Shards,
    /// What the test looks through, by shard.
    windows: Vec<MySqlPool>,
    admins: Vec<MySqlPool>,
    names: Vec<(usize, String)>,
}

const PROBE: &[&str] = &[
    "UPDATE fences SET state = state WHERE FALSE",
    "UPDATE global_tx SET state = state WHERE FALSE",
    "UPDATE journal SET what = what WHERE FALSE",
];

/// The log shards' ids.
pub const LOG_SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];

/// The branch shards' ids.
pub const BRANCH_SHARDS: [ShardId; 2] = [ShardId(2), ShardId(3)];

impl Databases {
    pub async fn create() -> Self {
        Self::with_pool_size(10).await
    }

    /// With so many connections per shard.
    pub async fn with_pool_size(connections_max: u32) -> Self {
        let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let servers = servers();
        let run = format!("saga_test_{:08x}", rand::random::<u32>());
        let mut databases = Self {
            shards: Shards::new(Vec::new()),
            windows: Vec::new(),
            admins: Vec::new(),
            names: Vec::new(),
        };
        for options in &servers {
            databases.admins.push(pool(options.clone(), 2));
        }
        let mut shards = Vec::new();
        for kind in ["log", "branch"] {
            for place in 0..2 {
                let server = place % servers.len();
                let name = format!("{run}_{kind}_{place}");
                let create = format!("CREATE DATABASE {name} COLLATE utf8mb4_bin");
                databases.admins[server]
                    .execute(AssertSqlSafe(create))
                    .await
                    .unwrap();
                let database = servers[server].clone().database(&name);
                let window = MySqlPoolOptions::new().max_connections(4);
                databases
                    .windows
                    .push(window.connect_lazy_with(database.clone()));
                let pool = pool(database, connections_max);
                for table in [FENCE_TABLE_SQL, GLOBAL_TX_SQL, journal::JOURNAL_SQL] {
                    pool.execute(table).await.unwrap();
                }
                databases.names.push((server, name.clone()));
                shards.push(Shard {
                    name: format!("{kind}-{place}"),
                    pool,
                    probe: PROBE,
                });
            }
        }
        databases.shards = Shards::new(shards);
        databases
    }

    /// The test's own connections to the shard.
    pub fn pool(&self, shard: ShardId) -> &MySqlPool {
        &self.windows[usize::from(shard.0)]
    }

    /// A connection pool of the server that the shard is on, outside the shard's own.
    pub fn admin_of(&self, shard: ShardId) -> &MySqlPool {
        &self.admins[self.names[usize::from(shard.0)].0]
    }

    pub fn name_of(&self, shard: ShardId) -> &str {
        &self.names[usize::from(shard.0)].1
    }

    /// These shards, one of them at an address where nobody listens.
    pub fn with_dead(&self, dead: ShardId) -> Shards {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        self.shards_with_port(&[dead], nobody.port())
    }

    /// These shards, some of them at another port.
    pub fn shards_with_port(&self, moved: &[ShardId], port: u16) -> Shards {
        let elsewhere = MySqlConnectOptions::new().host("127.0.0.1").port(port);
        let shard = |(id, shard): (ShardId, &Shard)| {
            let mut shard = shard.clone();
            if moved.contains(&id) {
                shard.pool = pool(elsewhere.clone(), 2);
            }
            shard
        };
        Shards::new(self.shards.iter().map(shard).collect())
    }

    pub async fn drop_all(self) {
        for (_, shard) in self.shards.iter() {
            shard.pool.close().await;
        }
        for (server, name) in &self.names {
            let drop = format!("DROP DATABASE IF EXISTS {name}");
            self.admins[*server]
                .execute(AssertSqlSafe(drop))
                .await
                .unwrap();
        }
    }
}

/// The stack's servers, without a database.
fn servers() -> Vec<MySqlConnectOptions> {
    let urls = std::env::var("HOLDFAST_ORDER_SHARDS")
        .expect("HOLDFAST_ORDER_SHARDS names no servers: run the tests by `make test`");
    let options = |url: &str| {
        let url = url
            .rsplit_once('/')
            .filter(|(head, _)| head.contains("//"))
            .map_or(url, |(head, _)| head);
        MySqlConnectOptions::from_str(url).expect("a MySQL URL in HOLDFAST_ORDER_SHARDS")
    };
    urls.split(',').map(options).collect()
}

fn pool(options: MySqlConnectOptions, connections_max: u32) -> MySqlPool {
    MySqlPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .after_connect(|conn, _| {
            Box::pin(async move {
                conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    .await?;
                let waits = "SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 2,
                     time_zone = '+00:00'";
                conn.execute(waits).await.map(drop)
            })
        })
        .connect_lazy_with(options)
}
