//! What the order stores hold, asked so that it costs them next to nothing while they work.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use stack::Stack;

/// The rows that are newer than a mark in each order shard.
#[derive(Debug)]
pub struct OrderCounts {
    shards: Vec<(MySqlConnection, u64)>,
}

/// How the new orders ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Money moved.
    pub paid: usize,
    /// Refused.
    pub cancelled: usize,
    /// From the first insert to the last end, by the databases' clocks, which are this machine's.
    pub took: Duration,
    /// From the first end to the last, by the same clocks.
    pub ending: Duration,
}

impl OrderCounts {
    /// Begins with the rows there are.
    pub async fn begin(stack: &Stack) -> Result<Self> {
        let mut shards = Vec::new();
        for url in &stack.env().order_shards {
            let mut conn = MySqlConnectOptions::from_str(url)?.connect().await?;
            let mark = newest(&mut conn).await?;
            shards.push((conn, mark));
        }
        Ok(Self { shards })
    }

    /// How many row numbers were given out: never fewer than there are new rows, often more, as
    /// the database draws them in blocks. Costs nothing.
    pub async fn numbers(&mut self) -> Result<u64> {
        let mut numbers = 0;
        for (conn, mark) in &mut self.shards {
            numbers += newest(conn).await? - *mark;
        }
        Ok(numbers)
    }

    /// How many rows are new. Costs some milliseconds, so ask seldom.
    pub async fn rows(&mut self) -> Result<i64> {
        let mut rows = 0;
        for (conn, mark) in &mut self.shards {
            let count = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE seq > ?");
            let count: i64 = count.bind(*mark).fetch_one(conn).await?;
            rows += count;
        }
        Ok(rows)
    }

    /// Whether no order is open: a look at the right edge of an index.
    pub async fn none_open(&mut self) -> Result<bool> {
        for (conn, _) in &mut self.shards {
            let open: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM orders WHERE next_attempt_at IS NOT NULL)",
            )
            .fetch_one(conn)
            .await?;
            if open {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads every new row; for when the work is done.
    pub async fn ended(&mut self) -> Result<Ended> {
        let mut ended = Ended::default();
        let (mut first, mut first_ended, mut last) = (i64::MAX, i64::MAX, i64::MIN);
        for (conn, mark) in &mut self.shards {
            let (paid, cancelled, begun, first_done, done): NewRows = sqlx::query_as(
                "SELECT COUNT(IF(state = 10, 1, NULL)), COUNT(IF(state = 11, 1, NULL)),
                 CAST(UNIX_TIMESTAMP(MIN(created_at)) * 1000000 AS SIGNED),
                 CAST(UNIX_TIMESTAMP(MIN(IF(state >= 10, updated_at, NULL))) * 1000000 AS SIGNED),
                 CAST(UNIX_TIMESTAMP(MAX(updated_at)) * 1000000 AS SIGNED)
                 FROM orders WHERE seq > ?",
            )
            .bind(*mark)
            .fetch_one(conn)
            .await?;
            ended.paid += usize::try_from(paid)?;
            ended.cancelled += usize::try_from(cancelled)?;
            first = first.min(begun.unwrap_or(first));
            first_ended = first_ended.min(first_done.unwrap_or(first_ended));
            last = last.max(done.unwrap_or(last));
        }
        let until_last = |from: i64| -> Result<Duration> {
            let us = last.checked_sub(from).context("there are no new orders")?;
            Ok(Duration::from_micros(u64::try_from(us).unwrap_or(0)))
        };
        (ended.took, ended.ending) = (until_last(first)?, until_last(first_ended)?);
        Ok(ended)
    }
}

/// Paid, cancelled, and in microseconds: the first insert, the first end, the last end.
type NewRows = (i64, i64, Option<i64>, Option<i64>, Option<i64>);

async fn newest(conn: &mut MySqlConnection) -> Result<u64> {
    let newest = sqlx::query_scalar("SELECT MAX(seq) FROM orders");
    let newest: Option<u64> = newest.fetch_one(conn).await?;
    Ok(newest.unwrap_or(0))
}
