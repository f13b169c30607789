//! An empty database of a test's own.

use domain::{ShardName, StoreKind};
use migrations::ShardIdentity;
use sqlx::mysql::{MySqlConnection, MySqlPool, MySqlPoolOptions};
use sqlx::{Connection, Executor};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub const STORES: [StoreKind; 2] = [StoreKind::Orders, StoreKind::Accounts];

pub fn identity(store: StoreKind, index: u16) -> ShardIdentity {
    ShardIdentity {
        name: ShardName { store, index },
        slot_map_epoch: 1,
    }
}

/// A database that a test made for itself; to be dropped by [`Own::drop`].
pub struct Own {
    pub pool: MySqlPool,
    server: String,
    name: String,
}

impl Own {
    /// On the server that the environment names first.
    pub async fn create() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let urls = std::env::var("HOLDFAST_ORDER_SHARDS").unwrap_or_else(|_| {
            panic!("HOLDFAST_ORDER_SHARDS is not set: these tests need the real servers; run them by `make test`")
        });
        let url = urls.split(',').next().unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t_{:x}_{:x}_{number}", std::process::id(), since.as_nanos());
        run_on(server, format!("CREATE DATABASE {name}")).await;
        let options = MySqlPoolOptions::new().max_connections(4);
        let pool = options.connect(&format!("{server}/{name}")).await.unwrap();
        Self {
            pool,
            server: server.to_owned(),
            name,
        }
    }

    /// With the schema of this store.
    pub async fn migrated(store: StoreKind) -> Self {
        let own = Self::create().await;
        migrations::run(&own.pool, identity(store, 0))
            .await
            .unwrap();
        own
    }

    /// A user of this database alone, who may do all there but make triggers; its password is its name.
    pub async fn user_without_triggers(&self) -> String {
        let user = self.name.chars().rev().take(28).collect::<String>();
        let name = format!("'{user}'@'127.0.0.1'");
        let grants = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP";
        for statement in [
            format!("CREATE USER {name} IDENTIFIED BY '{user}'"),
            format!("GRANT {grants} ON {}.* TO {name}", self.name),
        ] {
            run_on(&self.server, statement).await;
        }
        user
    }

    pub async fn drop_user(&self, user: &str) {
        run_on(&self.server, format!("DROP USER '{user}'@'127.0.0.1'")).await;
    }

    pub async fn drop(self) {
        self.pool.close().await;
        run_on(&self.server, format!("DROP DATABASE {}", self.name)).await;
    }
}

/// The address of a test's database for another user.
pub fn url_as(own: &Own, user: &str) -> String {
    let (_, host) = own.server.rsplit_once('@').unwrap();
    format!("mysql://{user}:{user}@{host}/{}", own.name)
}

async fn run_on(server: &str, statement: String) {
    let mut conn = MySqlConnection::connect(&format!("{server}/"))
        .await
        .unwrap();
    conn.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    conn.close().await.unwrap();
}
