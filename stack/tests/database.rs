//! What the pipeline relies on in a database server of the stack: its settings, and that both
//! clients can log in, also when the server has forgotten every login.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use mysql_async::prelude::Queryable;
use sqlx::{Connection, MySqlConnection, Row};
use stack::{Database, Server};

mod support;
use support::OwnStack;

/// The database of the run: the reference, unless it is not to be had here.
fn database() -> Database {
    match std::env::var("HOLDFAST_STACK_DB").or_else(|_| std::env::var("STACK_DB")) {
        Ok(name) if !name.is_empty() => name.parse().unwrap(),
        _ => Database::Mysql,
    }
}

async fn sqlx_in(url: &str) -> MySqlConnection {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    MySqlConnection::connect(url).await.unwrap()
}

async fn forget_logins(url: &str) {
    sqlx::query("FLUSH PRIVILEGES")
        .execute(&mut sqlx_in(url).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn both_clients_log_in_after_a_kill_and_after_the_server_forgot_them() {
    let own = OwnStack::with(database()).await;
    let server: Server = own.stack.server("mysql-1").unwrap();
    server.start().await.unwrap();
    let url = own.stack.env().account_shards[1].clone();
    sqlx::query("CREATE TABLE kept (id INT PRIMARY KEY)")
        .execute(&mut sqlx_in(&url).await)
        .await
        .unwrap();

    server.kill().await.unwrap();
    server.start().await.unwrap();

    forget_logins(&url).await;
    let name: String = sqlx::query("SELECT DATABASE()")
        .fetch_one(&mut sqlx_in(&url).await)
        .await
        .unwrap()
        .get(0);
    assert_eq!(name, "accounts_1");

    forget_logins(&url).await;
    let mut plain = mysql_async::Conn::from_url(&url).await.unwrap();
    let kept: Option<i64> = plain
        .query_first("SELECT COUNT(*) FROM kept")
        .await
        .unwrap();
    assert_eq!(kept, Some(0));
    plain.disconnect().await.unwrap();
}

#[tokio::test]
async fn commits_are_durable_and_the_binlog_tells_everything() {
    let own = OwnStack::with(database()).await;
    own.stack.server("mysql-0").unwrap().start().await.unwrap();
    let mut connection = sqlx_in(&own.stack.env().order_shards[0]).await;
    let mut expected = vec![
        ("innodb_flush_log_at_trx_commit", "1"),
        ("sync_binlog", "1"),
        ("log_bin", "1"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("collation_server", "utf8mb4_bin"),
        ("bind_address", "127.0.0.1"),
        ("server_id", "1"),
    ];
    match own.stack.env().database {
        Database::Mysql => expected.extend([
            ("gtid_mode", "1"),
            ("enforce_gtid_consistency", "1"),
            ("transaction_isolation", "READ-COMMITTED"),
        ]),
        Database::MariaDb => expected.extend([
            ("gtid_strict_mode", "1"),
            ("log_bin_compress", "0"),
            ("log_slave_updates", "1"),
            ("binlog_checksum", "CRC32"),
            ("innodb_autoinc_lock_mode", "2"),
            ("tx_isolation", "READ-COMMITTED"),
        ]),
    }
    for (variable, wanted) in expected {
        let statement = sqlx::AssertSqlSafe(format!("SELECT CAST(@@GLOBAL.{variable} AS CHAR)"));
        let value: String = sqlx::query(statement)
            .fetch_one(&mut connection)
            .await
            .unwrap()
            .get(0);
        // Switches read back as a word on one database and as a number on the other.
        let value = if value == "ON" { "1" } else { &value };
        assert_eq!(value, wanted, "{variable}");
    }
}
