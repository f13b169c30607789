//! `limit`: the five rounds as raw SQL in batches, by two lanes.
//!
//! It is what the databases can do for this protocol in a straightforward schema when the client
//! costs next to nothing: no log to read, no ids to derive, no JSON, statements written beforehand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use rand::Rng;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::limit_batch::{AccountShare, Batch, OrderShare, RawOrder, Step};
use crate::limit_schema::{RawConnections, RawStores};
use crate::load::{self, Payment};

/// Batches that run at once, each on connections of its own.
const LANES: usize = 2;
/// Orders in a batch.
const BATCH: usize = 500;
/// A deadlock is retried; one that comes back this often is a mistake of ours.
const ATTEMPTS_MAX: usize = 10;

/// Orders with random ids between accounts of these stores.
pub fn draw_orders(stores: &RawStores, orders: usize) -> Vec<RawOrder> {
    let mut rng = rand::rng();
    let mut draw = || {
        let payment = Payment::draw(&mut rng, stores.payers.len(), stores.payees.len());
        RawOrder {
            xid: rng.random(),
            payer: stores.payers[payment.payer],
            payee: stores.payees[payment.payee],
            amount: payment.amount,
        }
    };
    (0..orders).map(|_| draw()).collect()
}

/// The batches of each lane, with their statements.
pub fn prepare(stores: &RawStores, orders: usize) -> Result<Vec<Vec<Batch>>> {
    let slots = load::two_shards()?;
    let orders = draw_orders(stores, orders);
    let mut lanes: Vec<Vec<Batch>> = (0..LANES).map(|_| Vec::new()).collect();
    for (place, orders) in orders.chunks(BATCH).enumerate() {
        lanes[place % LANES].push(Batch::of(orders, &slots));
    }
    Ok(lanes)
}

/// Runs the batches; answers how long they took.
pub async fn run(stores: &RawStores, lanes: Vec<Vec<Batch>>) -> Result<Duration> {
    let conns = try_join_all(lanes.iter().map(|_| stores.connect())).await?;
    let begun = Instant::now();
    let running = lanes.into_iter().zip(conns);
    let running = running.map(|(batches, conns)| tokio::spawn(run_lane(batches, conns)));
    for lane in try_join_all(running).await? {
        lane?;
    }
    Ok(begun.elapsed())
}

async fn run_lane(batches: Vec<Batch>, mut conns: RawConnections) -> Result<()> {
    for batch in &batches {
        run_batch(batch, &mut conns).await?;
    }
    Ok(())
}

async fn run_batch(batch: &Batch, conns: &mut RawConnections) -> Result<()> {
    on_orders(batch, conns, |share| &share.log)
        .await
        .context("round 1, log")?;
    let [first, second] = &mut conns.accounts;
    tokio::try_join!(
        reserve(first, &batch.accounts[0]),
        reserve(second, &batch.accounts[1])
    )
    .context("round 2, try")?;
    on_orders(batch, conns, |share| &share.decide)
        .await
        .context("round 3, decide")?;
    let [first, second] = &mut conns.accounts;
    tokio::try_join!(
        transaction(first, &batch.accounts[0].confirm),
        transaction(second, &batch.accounts[1].confirm)
    )
    .context("round 4, confirm")?;
    on_orders(batch, conns, |share| &share.end)
        .await
        .context("round 5, end")
}

async fn on_orders(
    batch: &Batch,
    conns: &mut RawConnections,
    round: impl Fn(&OrderShare) -> &[Step],
) -> Result<()> {
    let [first, second] = &mut conns.orders;
    tokio::try_join!(
        transaction(first, round(&batch.orders[0])),
        transaction(second, round(&batch.orders[1]))
    )?;
    Ok(())
}

/// One SQL transaction of these steps, again after a deadlock.
async fn transaction(conn: &mut MySqlConnection, steps: &[Step]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    for _ in 0..ATTEMPTS_MAX {
        sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
        let done = execute(conn, steps).await;
        if end(conn, done).await? {
            return Ok(());
        }
    }
    anyhow::bail!("{ATTEMPTS_MAX} deadlocks in a row")
}

/// The try of one shard: holds, locked payers, a decision in memory, the net update last.
async fn reserve(conn: &mut MySqlConnection, share: &AccountShare) -> Result<()> {
    if share.hold.is_empty() {
        return Ok(());
    }
    for _ in 0..ATTEMPTS_MAX {
        sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
        let done = try_once(conn, share).await;
        if end(conn, done).await? {
            return Ok(());
        }
    }
    anyhow::bail!("{ATTEMPTS_MAX} deadlocks in a row")
}

async fn try_once(conn: &mut MySqlConnection, share: &AccountShare) -> Result<()> {
    execute(conn, &share.hold).await?;
    let mut available = HashMap::new();
    for row in select(conn, &share.lock_payers).await? {
        let (balance, held): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        available.insert(row.try_get::<Vec<u8>, _>(0)?, balance - held);
    }
    let payees = select(conn, &share.read_payees).await?;
    ensure!(payees.len() == share.payees, "a payee is missing");
    for (payer, amount) in &share.wanted {
        let left = available.get_mut(payer.as_slice());
        let left = left.context("a payer is missing")?;
        ensure!(*left >= *amount, "the raw load has no refusals");
        *left -= amount;
    }
    execute(conn, &share.reserve).await
}

async fn select(
    conn: &mut MySqlConnection,
    sql: &Arc<str>,
) -> Result<Vec<sqlx::mysql::MySqlRow>, sqlx::Error> {
    if sql.is_empty() {
        return Ok(Vec::new());
    }
    let sql = AssertSqlSafe(Arc::clone(sql));
    sqlx::raw_sql(sql).fetch_all(conn).await
}

async fn execute(conn: &mut MySqlConnection, steps: &[Step]) -> Result<()> {
    for step in steps {
        let sql = AssertSqlSafe(Arc::clone(&step.sql));
        let done = sqlx::raw_sql(sql).execute(&mut *conn).await?;
        ensure!(
            done.rows_affected() == step.rows,
            "{} rows instead of {} by {:.60}",
            done.rows_affected(),
            step.rows,
            step.sql
        );
    }
    Ok(())
}

/// Commits what was done; false after a deadlock, which has rolled it back.
async fn end(conn: &mut MySqlConnection, done: Result<()>) -> Result<bool> {
    match done {
        Ok(()) => {
            sqlx::raw_sql("COMMIT").execute(conn).await?;
            Ok(true)
        }
        Err(error) if is_deadlock(&error) => {
            sqlx::raw_sql("ROLLBACK").execute(conn).await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether the server gave this SQL transaction up for another one.
pub fn is_deadlock(error: &anyhow::Error) -> bool {
    let Some(sqlx::Error::Database(error)) = error.downcast_ref() else {
        return false;
    };
    let number = error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number);
    number == Some(1213)
}
