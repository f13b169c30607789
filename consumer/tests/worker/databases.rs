//! A test's own databases.

use domain::ShardName;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{Connection, Executor};
use store::StoresSettings;

pub async fn migrate(settings: &StoresSettings, name: ShardName) {
    let url = &settings.urls(name.store)[usize::from(name.index)];
    let pool = MySqlPool::connect(url).await.unwrap();
    let identity = migrations::ShardIdentity {
        name,
        slot_map_epoch: settings.slot_map_epoch,
    };
    migrations::run(&pool, identity).await.unwrap();
    pool.close().await;
}

pub async fn run_on(server: &str, statement: String) {
    let url = format!("{server}/");
    let mut conn = MySqlConnection::connect(&url).await.unwrap();
    conn.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    conn.close().await.unwrap();
}
