//! `naive`: the same five rounds in the same schema, one order at a time in each of 64 lanes.
//!
//! As fair as it can be: prepared statements, the shards of a round in parallel, no SQL transaction
//! around a single statement.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use domain::SlotMap;
use futures_util::future::try_join_all;
use sqlx::mysql::{MySqlConnection, MySqlQueryResult};

use crate::limit::is_deadlock;
use crate::limit_batch::RawOrder;
use crate::limit_schema::{RawConnections, RawStores};
use crate::load;

/// Orders that run at once.
const LANES: usize = 64;
/// A deadlock is retried; one that comes back this often is a mistake of ours.
const ATTEMPTS_MAX: usize = 10;

/// Runs the orders; answers how long they took.
pub async fn run(stores: &RawStores, orders: Vec<RawOrder>) -> Result<Duration> {
    let slots = load::two_shards()?;
    let share = orders.len().div_ceil(LANES);
    let lanes: Vec<Vec<RawOrder>> = orders.chunks(share).map(<[_]>::to_vec).collect();
    let conns = try_join_all(lanes.iter().map(|_| stores.connect())).await?;
    let begun = Instant::now();
    let running = lanes.into_iter().zip(conns);
    let running =
        running.map(|(orders, conns)| tokio::spawn(run_lane(orders, conns, slots.clone())));
    for lane in try_join_all(running).await? {
        lane?;
    }
    Ok(begun.elapsed())
}

async fn run_lane(orders: Vec<RawOrder>, mut conns: RawConnections, slots: SlotMap) -> Result<()> {
    for order in &orders {
        run_order(order, &mut conns, &slots).await?;
    }
    Ok(())
}

async fn run_order(order: &RawOrder, conns: &mut RawConnections, slots: &SlotMap) -> Result<()> {
    let home = &mut conns.orders[usize::from(slots.shard_of(&order.xid))];
    log(home, order).await.context("round 1, log")?;
    on_accounts(order, &mut conns.accounts, slots, Phase::Try)
        .await
        .context("round 2, try")?;
    let decided = sqlx::query("UPDATE tx_log SET state = 2 WHERE xid = ? AND state = 1")
        .bind(order.xid.as_slice())
        .execute(&mut *home)
        .await?;
    one_row(&decided).context("round 3, decide")?;
    on_accounts(order, &mut conns.accounts, slots, Phase::Confirm)
        .await
        .context("round 4, confirm")?;
    end(home, order).await.context("round 5, end")
}

async fn log(conn: &mut MySqlConnection, order: &RawOrder) -> Result<()> {
    let digest = [order.xid, order.xid].concat();
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    sqlx::query(
        "INSERT INTO orders (id, merchant, payer, payee, amount, currency, state, version,
         body_digest, description, created_at, updated_at)
         VALUES (?, 'shop', ?, ?, ?, 'USD', 1, 1, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
    )
    .bind(order.xid.as_slice())
    .bind(order.payer.as_slice())
    .bind(order.payee.as_slice())
    .bind(order.amount)
    .bind(digest)
    .bind(format!("Order {} of the raw load", hex::encode(order.xid)))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "INSERT INTO tx_log (xid, state, next_attempt_at, created_at)
         VALUES (?, 1, UTC_TIMESTAMP(6) + INTERVAL 10 SECOND, UTC_TIMESTAMP(6))",
    )
    .bind(order.xid.as_slice())
    .execute(&mut *conn)
    .await?;
    sqlx::raw_sql("COMMIT").execute(conn).await?;
    Ok(())
}

async fn end(conn: &mut MySqlConnection, order: &RawOrder) -> Result<()> {
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    let paid = sqlx::query(
        "UPDATE orders SET state = 10, version = version + 1, updated_at = UTC_TIMESTAMP(6)
         WHERE id = ? AND state = 1",
    )
    .bind(order.xid.as_slice())
    .execute(&mut *conn)
    .await?;
    one_row(&paid)?;
    let ended = sqlx::query(
        "UPDATE tx_log SET state = 10, next_attempt_at = NULL WHERE xid = ? AND state = 2",
    )
    .bind(order.xid.as_slice())
    .execute(&mut *conn)
    .await?;
    one_row(&ended)?;
    sqlx::raw_sql("COMMIT").execute(conn).await?;
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Try,
    Confirm,
}

/// One account's part: the number of the leg, the account, and what it gets.
type RawLeg = (u8, [u8; 16], i64);

/// Runs a phase on the one or two account shards of an order.
async fn on_accounts(
    order: &RawOrder,
    conns: &mut [MySqlConnection; 2],
    slots: &SlotMap,
    phase: Phase,
) -> Result<()> {
    let mut legs = [
        (0, order.payer, -order.amount),
        (1, order.payee, order.amount),
    ];
    legs.sort_unstable_by_key(|(_, account, _)| *account);
    let of_shard = |shard: u16| -> Vec<RawLeg> {
        let mine = |leg: &&RawLeg| slots.shard_of(&leg.1) == shard;
        legs.iter().filter(mine).copied().collect()
    };
    let (first_legs, second_legs) = (of_shard(0), of_shard(1));
    let [first, second] = conns;
    tokio::try_join!(
        transaction(first, order, &first_legs, phase),
        transaction(second, order, &second_legs, phase)
    )?;
    Ok(())
}

/// One SQL transaction for these legs, again after a deadlock.
async fn transaction(
    conn: &mut MySqlConnection,
    order: &RawOrder,
    legs: &[RawLeg],
    phase: Phase,
) -> Result<()> {
    if legs.is_empty() {
        return Ok(());
    }
    for _ in 0..ATTEMPTS_MAX {
        sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
        let done = match phase {
            Phase::Try => reserve(conn, order, legs).await,
            Phase::Confirm => confirm(conn, order, legs).await,
        };
        match done {
            Ok(()) => {
                sqlx::raw_sql("COMMIT").execute(conn).await?;
                return Ok(());
            }
            Err(error) if is_deadlock(&error) => {
                sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
            }
            Err(error) => return Err(error),
        }
    }
    anyhow::bail!("{ATTEMPTS_MAX} deadlocks in a row")
}

async fn reserve(conn: &mut MySqlConnection, order: &RawOrder, legs: &[RawLeg]) -> Result<()> {
    for (leg, account, delta) in legs {
        sqlx::query(
            "INSERT INTO holds (xid, leg, account, amount, state, created_at)
             VALUES (?, ?, ?, ?, 1, UTC_TIMESTAMP(6))",
        )
        .bind(order.xid.as_slice())
        .bind(leg)
        .bind(account.as_slice())
        .bind(delta.abs())
        .execute(&mut *conn)
        .await?;
    }
    for (_, account, delta) in legs {
        if *delta < 0 {
            reserve_payer(conn, account, -delta).await?;
        } else {
            let status: u8 = sqlx::query_scalar("SELECT status FROM accounts WHERE id = ?")
                .bind(account.as_slice())
                .fetch_one(&mut *conn)
                .await?;
            ensure!(status == 1, "the payee is closed");
        }
    }
    Ok(())
}

async fn reserve_payer(conn: &mut MySqlConnection, payer: &[u8; 16], amount: i64) -> Result<()> {
    let (balance, held): (i64, i64) =
        sqlx::query_as("SELECT balance, held FROM accounts WHERE id = ? FOR UPDATE")
            .bind(payer.as_slice())
            .fetch_one(&mut *conn)
            .await?;
    ensure!(balance - held >= amount, "the raw load has no refusals");
    let reserved = sqlx::query("UPDATE accounts SET held = held + ? WHERE id = ?")
        .bind(amount)
        .bind(payer.as_slice())
        .execute(conn)
        .await?;
    one_row(&reserved)
}

async fn confirm(conn: &mut MySqlConnection, order: &RawOrder, legs: &[RawLeg]) -> Result<()> {
    for (leg, account, delta) in legs {
        let confirmed =
            sqlx::query("UPDATE holds SET state = 3 WHERE xid = ? AND leg = ? AND state = 1")
                .bind(order.xid.as_slice())
                .bind(leg)
                .execute(&mut *conn)
                .await?;
        one_row(&confirmed)?;
        sqlx::query(
            "INSERT INTO entries (xid, leg, account, delta, booked_at)
             VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6))",
        )
        .bind(order.xid.as_slice())
        .bind(leg)
        .bind(account.as_slice())
        .bind(delta)
        .execute(&mut *conn)
        .await?;
    }
    for (_, account, delta) in legs {
        let settled =
            sqlx::query("UPDATE accounts SET balance = balance + ?, held = held + ? WHERE id = ?")
                .bind(delta)
                .bind(delta.min(&0))
                .bind(account.as_slice())
                .execute(&mut *conn)
                .await?;
        one_row(&settled)?;
    }
    Ok(())
}

fn one_row(done: &MySqlQueryResult) -> Result<()> {
    ensure!(
        done.rows_affected() == 1,
        "{} rows instead of one",
        done.rows_affected()
    );
    Ok(())
}
