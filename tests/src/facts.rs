//! What stands in the stores, read by plain SQL of our own: a test that asked the product's code would
//! share its mistakes.

use anyhow::{Context, Result};
use sqlx::{ConnectOptions, MySqlConnection};
use stack::StackEnv;
use std::collections::HashMap;
use std::str::FromStr;

/// Everything that the stores say of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFacts {
    /// Its rows: one, on one shard.
    pub rows: u32,
    /// The row's.
    pub version: u64,
    /// As the column says: below 10 it has not ended, 10 is paid, 11 cancelled.
    pub state: u8,
    /// Why it was cancelled, as the column says: 5 is expired.
    pub reason: u8,
    /// Minor units.
    pub amount: i64,
    /// Its entries: account and delta.
    pub entries: Vec<(String, i64)>,
    /// Its holds that still reserve money.
    pub open_holds: u32,
}

/// How far a merchant's orders are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Orders with a row.
    pub rows: i64,
    /// Of these, not ended.
    pub open: i64,
}

/// The facts of all orders of a merchant, by order id.
pub async fn of_merchant(env: &StackEnv, merchant: &str) -> Result<HashMap<String, OrderFacts>> {
    let mut facts: HashMap<String, OrderFacts> = HashMap::new();
    for url in &env.order_shards {
        let mut shard = connect(url).await?;
        let rows: Vec<(String, u64, u8, u8, i64)> = sqlx::query_as(
            "SELECT LOWER(HEX(id)), version, state, reason, amount FROM orders WHERE merchant = ?",
        )
        .bind(merchant)
        .fetch_all(&mut shard)
        .await?;
        for (id, version, state, reason, amount) in rows {
            let order = facts.entry(format!("ord_{id}")).or_default();
            (order.rows, order.version) = (order.rows + 1, version);
            (order.state, order.reason, order.amount) = (state, reason, amount);
        }
    }
    for url in &env.account_shards {
        let mut shard = connect(url).await?;
        let entries: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT LOWER(HEX(e.xid)), LOWER(HEX(e.account)), e.delta FROM entries e \
             JOIN accounts a ON a.id = e.account WHERE a.merchant = ?",
        )
        .bind(merchant)
        .fetch_all(&mut shard)
        .await?;
        for (xid, account, delta) in entries {
            let order = facts.entry(format!("ord_{xid}")).or_default();
            order.entries.push((format!("acct_{account}"), delta));
        }
        let holds: Vec<(String,)> = sqlx::query_as(
            "SELECT LOWER(HEX(h.xid)) FROM holds h \
             JOIN accounts a ON a.id = h.account WHERE a.merchant = ? AND h.state = 1",
        )
        .bind(merchant)
        .fetch_all(&mut shard)
        .await?;
        for (xid,) in holds {
            facts.entry(format!("ord_{xid}")).or_default().open_holds += 1;
        }
    }
    Ok(facts)
}

/// How far the orders of a merchant are.
pub async fn progress(env: &StackEnv, merchant: &str) -> Result<Progress> {
    let mut progress = Progress::default();
    for url in &env.order_shards {
        let (rows, open): (i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(state < 10), 0) AS SIGNED) \
             FROM orders WHERE merchant = ?",
        )
        .bind(merchant)
        .fetch_one(&mut connect(url).await?)
        .await?;
        progress.rows += rows;
        progress.open += open;
    }
    Ok(progress)
}

pub(crate) async fn connect(url: &str) -> Result<MySqlConnection> {
    sqlx::mysql::MySqlConnectOptions::from_str(url)?
        .disable_statement_logging()
        .connect()
        .await
        .with_context(|| format!("cannot connect to {}", url.rsplit('@').next().unwrap_or("")))
}
