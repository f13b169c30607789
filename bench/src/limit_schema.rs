//! The databases of the raw measurements: a straightforward schema, beside the stack's own.
//!
//! Random 16-byte ids stand under a unique key in tables clustered by arrival. An order makes 24
//! index-row operations here: order row 2 + 1, log row 3 + 1 + 3, two holds 4 + 2, two entries 6,
//! and 2 updates of accounts.

use std::str::FromStr;

use anyhow::{Context, Result};
use rand::Rng;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use stack::Stack;

use crate::load::{self, CURRENCY, FUNDS_MINOR_UNITS, PAYEES};

const ORDERS: &str = "
CREATE TABLE orders (
    seq         BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id          BINARY(16)       NOT NULL,
    merchant    VARCHAR(64)      NOT NULL,
    payer       BINARY(16)       NOT NULL,
    payee       BINARY(16)       NOT NULL,
    amount      BIGINT           NOT NULL,
    currency    CHAR(3)          NOT NULL,
    state       TINYINT UNSIGNED NOT NULL,
    version     BIGINT UNSIGNED  NOT NULL,
    body_digest BINARY(32)       NOT NULL,
    description VARCHAR(1000)    NULL,
    created_at  DATETIME(6)      NOT NULL,
    updated_at  DATETIME(6)      NOT NULL,
    UNIQUE KEY orders_id (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

const LOG: &str = "
CREATE TABLE tx_log (
    seq             BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid             BINARY(16)       NOT NULL,
    state           TINYINT UNSIGNED NOT NULL,
    attempts        INT UNSIGNED     NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6)      NULL,
    created_at      DATETIME(6)      NOT NULL,
    UNIQUE KEY tx_log_xid (xid),
    KEY tx_log_next_attempt (next_attempt_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

const ACCOUNTS: &str = "
CREATE TABLE accounts (
    id       BINARY(16)       NOT NULL PRIMARY KEY,
    currency CHAR(3)          NOT NULL,
    status   TINYINT UNSIGNED NOT NULL,
    balance  BIGINT           NOT NULL,
    held     BIGINT           NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

const HOLDS: &str = "
CREATE TABLE holds (
    seq        BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid        BINARY(16)       NOT NULL,
    leg        TINYINT UNSIGNED NOT NULL,
    account    BINARY(16)       NOT NULL,
    amount     BIGINT           NOT NULL,
    state      TINYINT UNSIGNED NOT NULL,
    created_at DATETIME(6)      NOT NULL,
    UNIQUE KEY holds_branch (xid, leg)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

const ENTRIES: &str = "
CREATE TABLE entries (
    seq       BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid       BINARY(16)       NOT NULL,
    leg       TINYINT UNSIGNED NOT NULL,
    account   BINARY(16)       NOT NULL,
    delta     BIGINT           NOT NULL,
    booked_at DATETIME(6)      NOT NULL,
    UNIQUE KEY entries_branch (xid, leg),
    KEY entries_account (account)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

/// The four databases and the accounts in them.
#[derive(Debug)]
pub struct RawStores {
    orders: [MySqlConnectOptions; 2],
    accounts: [MySqlConnectOptions; 2],
    /// Who pays.
    pub payers: Vec<[u8; 16]>,
    /// Who is paid.
    pub payees: Vec<[u8; 16]>,
}

/// One connection to each of the four databases.
#[derive(Debug)]
pub struct RawConnections {
    /// By order shard.
    pub orders: [MySqlConnection; 2],
    /// By account shard.
    pub accounts: [MySqlConnection; 2],
}

impl RawStores {
    /// Makes the databases anew, with funded payers.
    pub async fn create(stack: &Stack, payers: usize) -> Result<Self> {
        let env = stack.env();
        let mut rng = rand::rng();
        let stores = Self {
            orders: options(&env.order_shards, "bench_limit_orders")?,
            accounts: options(&env.account_shards, "bench_limit_accounts")?,
            payers: (0..payers).map(|_| rng.random()).collect(),
            payees: (0..PAYEES).map(|_| rng.random()).collect(),
        };
        for database in &stores.orders {
            create_database(database, &[ORDERS, LOG]).await?;
        }
        for database in &stores.accounts {
            create_database(database, &[ACCOUNTS, HOLDS, ENTRIES]).await?;
        }
        stores.open_accounts().await?;
        Ok(stores)
    }

    /// Connects to all four.
    pub async fn connect(&self) -> Result<RawConnections> {
        let [first, second] = &self.orders;
        let orders = [first.connect().await?, second.connect().await?];
        let [first, second] = &self.accounts;
        let accounts = [first.connect().await?, second.connect().await?];
        Ok(RawConnections { orders, accounts })
    }

    /// Removes the databases.
    pub async fn drop(self) -> Result<()> {
        for database in self.orders.iter().chain(&self.accounts) {
            let drop = format!("DROP DATABASE {}", name_of(database));
            let mut conn = server_of(database).connect().await?;
            sqlx::raw_sql(AssertSqlSafe(drop))
                .execute(&mut conn)
                .await?;
            conn.close().await?;
        }
        Ok(())
    }

    async fn open_accounts(&self) -> Result<()> {
        let slots = load::two_shards()?;
        let mut conns = self.connect().await?;
        for (shard, conn) in (0_u16..).zip(&mut conns.accounts) {
            let ids = self.payers.iter().chain(&self.payees);
            let rows: Vec<String> = ids
                .filter(|id| slots.shard_of(id) == shard)
                .map(|id| {
                    let id = hex::encode(id);
                    format!("(0x{id},'{CURRENCY}',1,{FUNDS_MINOR_UNITS},0)")
                })
                .collect();
            let insert = format!("INSERT INTO accounts VALUES {}", rows.join(","));
            sqlx::raw_sql(AssertSqlSafe(insert)).execute(conn).await?;
        }
        Ok(())
    }
}

/// One database on each of the two servers.
fn options(shards: &[String], prefix: &str) -> Result<[MySqlConnectOptions; 2]> {
    let options = |number: usize| -> Result<MySqlConnectOptions> {
        let url = shards.get(number).context("the stack has two shards")?;
        let options = MySqlConnectOptions::from_str(url)?;
        Ok(options.database(&format!("{prefix}_{number}")))
    };
    Ok([options(0)?, options(1)?])
}

async fn create_database(database: &MySqlConnectOptions, tables: &[&'static str]) -> Result<()> {
    let name = name_of(database);
    let create = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; USE {name}");
    let mut conn = server_of(database).connect().await?;
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut conn)
        .await
        .with_context(|| format!("cannot make the database {name}"))?;
    for table in tables {
        sqlx::raw_sql(*table).execute(&mut conn).await?;
    }
    Ok(conn.close().await?)
}

fn name_of(database: &MySqlConnectOptions) -> &str {
    database.get_database().unwrap_or_default()
}

/// The server without a database, which may not exist yet or any more.
fn server_of(database: &MySqlConnectOptions) -> MySqlConnectOptions {
    database.clone().database("mysql")
}
