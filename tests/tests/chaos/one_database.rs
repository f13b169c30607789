//! 32: one of the two database servers is not well. Orders that touch it wait; the p99 of the others
//! at most doubles; and once it is back nothing is stuck.

use crate::live::{Live, at_full_length, live};
use crate::neighbour::Neighbour;
use anyhow::{Result, ensure};
use holdfast_tests::Fault;
use sqlx::{Connection, Executor, MySqlConnection};
use stack::ServerName;
use std::time::Duration;
use tokio::time::sleep;

const SICK: ServerName = ServerName::Mysql(0);

/// What a machine that is busy with other things may add to a p99 of so few orders. Who waits for a
/// server that is not well waits for ten seconds and more.
fn noise() -> Duration {
    match at_full_length() {
        true => Duration::from_millis(500),
        false => Duration::from_secs(4),
    }
}

/// How long an order may take that is in one batch with orders of the server as it falls: a set waits
/// ten seconds for a shard, once, and two more for a connection, and then leaves it alone.
const FALL: Duration = Duration::from_secs(15);
const ORDERS: usize = 100;

/// Measures the others before `fall` and after it, while orders that touch both servers go on
/// coming; then everything is as if nothing had been.
async fn others_are_not_held_up<T>(
    live: &Live,
    fall: impl AsyncFnOnce() -> Result<T>,
    rise: impl AsyncFnOnce(T) -> Result<()>,
) -> Result<()> {
    let neighbour = Neighbour::open(live).await?;
    let load = live.load_of(usize::MAX, 150).await?;
    neighbour.orders("warm", 40, Duration::ZERO).await?;
    let before = neighbour.orders("before", ORDERS, Duration::ZERO).await?;
    let fallen = fall().await?;
    // Who was held up by the fall is counted here, and not among those after it.
    let falling = neighbour.orders("falling", 20, FALL).await;
    let during = neighbour.orders("during", ORDERS, Duration::ZERO).await;
    rise(fallen).await?;
    let (falling, during) = (falling?.longest(), during?.percentile(99));
    let before = before.percentile(99);
    live.finish(load).await?;
    neighbour.finish(live).await?;
    ensure!(falling <= FALL, "INV-8: {falling:?} as the server fell");
    ensure!(
        during <= before * 2 + noise(),
        "INV-8: the p99 of the others went from {before:?} to {during:?}"
    );
    Ok(())
}

/// 32, killed.
#[tokio::test]
async fn orders_elsewhere_go_on_while_a_database_is_killed() -> Result<()> {
    live(async |live| {
        let server = live.handle(SICK);
        let fall = async || Ok(server.kill().await?);
        others_are_not_held_up(live, fall, async |()| Ok(server.start().await?)).await
    })
    .await
}

/// 32, read-only.
#[tokio::test]
async fn orders_elsewhere_go_on_while_a_database_refuses_writes() -> Result<()> {
    live(async |live| {
        let fall = async || live.sql(SICK, "SET GLOBAL super_read_only = ON").await;
        let rise = async |()| live.sql(SICK, "SET GLOBAL read_only = OFF").await;
        others_are_not_held_up(live, fall, rise).await
    })
    .await
}

/// 32, paused.
#[tokio::test]
async fn orders_elsewhere_go_on_while_a_database_hangs() -> Result<()> {
    live(async |live| {
        let server = live.handle(SICK);
        let fall = async || Ok(server.pause()?);
        others_are_not_held_up(live, fall, async |()| Ok(server.resume()?)).await
    })
    .await
}

/// 32, with its tables locked.
#[tokio::test]
async fn orders_elsewhere_go_on_while_the_tables_of_a_database_are_locked() -> Result<()> {
    live(async |live| {
        let fall = async || {
            let mut orders = live.connect(&live.env().order_shards[0]).await?;
            orders.execute("LOCK TABLES orders WRITE").await?;
            let mut accounts = live.connect(&live.env().account_shards[0]).await?;
            let statement = "LOCK TABLES accounts WRITE, holds WRITE, entries WRITE";
            accounts.execute(statement).await?;
            Ok([orders, accounts])
        };
        let rise = async |locked: [MySqlConnection; 2]| {
            for connection in locked {
                connection.close().await?;
            }
            Ok(())
        };
        others_are_not_held_up(live, fall, rise).await
    })
    .await
}

/// 32, with its connections cut.
#[tokio::test]
async fn orders_elsewhere_go_on_while_a_database_drops_connections() -> Result<()> {
    live(async |live| {
        let services = [ServerName::OrderApi, ServerName::Consumer(1)];
        let network = live.behind_proxies(&services).await?;
        let fall = async || {
            network.set(SICK, Fault::Cut);
            Ok(())
        };
        let rise = async |()| {
            network.set(SICK, Fault::Pass);
            sleep(Duration::from_millis(100)).await;
            Ok(())
        };
        others_are_not_held_up(live, fall, rise).await
    })
    .await
}
