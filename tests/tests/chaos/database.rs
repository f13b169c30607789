//! 33 to 36: what the databases do to an order that touches them.

use crate::live::{DATABASES, at_full_length, live};
use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join_all};
use holdfast_tests::{Asked, Direction, Fault, Merchant, Recorder, Told};
use rand::Rng;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};
use stack::ServerName;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const WORKER: ServerName = ServerName::Consumer(1);

/// 33. Somebody else locks the accounts in the other order, and with so much to undo that the
/// engine's own transactions are the ones that give way. It goes on until one of them did.
#[tokio::test]
async fn deadlocks_with_a_stranger_lose_nothing() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        let merchant = load.recorder.merchant.name.clone();
        let mut strangers = Vec::new();
        for url in &live.env().account_shards {
            strangers.push(live.connect(url).await?);
        }
        for stranger in &mut strangers {
            in_scratch(stranger, live.seed, "CREATE TABLE").await?;
        }
        meet_the_engine(&mut strangers, live.seed, &merchant).await?;
        for stranger in &mut strangers {
            in_scratch(stranger, live.seed, "DROP TABLE").await?;
        }
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// Locks backwards on all shards until there were deadlocks that the strangers did not meet.
async fn meet_the_engine(
    strangers: &mut [MySqlConnection],
    seed: u64,
    merchant: &str,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let before = deadlocks(strangers).await?;
    let mut own = 0;
    loop {
        let rounds = strangers
            .iter_mut()
            .map(|stranger| lock_backwards(stranger, seed, merchant));
        let met = try_join_all(rounds).await?;
        own += met.into_iter().map(i64::from).sum::<i64>();
        let engine = deadlocks(strangers).await? - before - own;
        if engine > 0 {
            println!("{engine} deadlocks met the engine, {own} the strangers");
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the engine never met one, the strangers {own}"
        );
    }
}

/// How many their servers, which are not the same, have met since they started.
async fn deadlocks(strangers: &mut [MySqlConnection]) -> Result<i64> {
    let mut sum = 0;
    for stranger in strangers {
        let (count,): (i64,) = sqlx::query_as(
            "SELECT CAST(count AS SIGNED) FROM information_schema.innodb_metrics \
             WHERE name = 'lock_deadlocks'",
        )
        .fetch_one(stranger)
        .await?;
        sum += count;
    }
    Ok(sum)
}

async fn in_scratch(connection: &mut MySqlConnection, seed: u64, what: &str) -> Result<()> {
    let columns = if what.starts_with("CREATE") {
        "(n INT)"
    } else {
        ""
    };
    let database = if what.starts_with("CREATE") {
        format!("CREATE DATABASE scratch_{seed}")
    } else {
        format!("DROP DATABASE scratch_{seed}")
    };
    let table = format!("{what} scratch_{seed}.weight {columns}");
    let order = if columns.is_empty() {
        [table, database]
    } else {
        [database, table]
    };
    for statement in order {
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}

/// Locks a merchant's accounts one by one, the last first, and lets go of them; whether it met a
/// deadlock itself.
async fn lock_backwards(
    connection: &mut MySqlConnection,
    seed: u64,
    merchant: &str,
) -> Result<bool> {
    let accounts: Vec<(Vec<u8>,)> =
        sqlx::query_as("SELECT id FROM accounts WHERE merchant = ? ORDER BY id DESC")
            .bind(merchant)
            .fetch_all(&mut *connection)
            .await?;
    let mut transaction = connection.begin().await?;
    let weight = format!(
        "INSERT INTO scratch_{seed}.weight WITH RECURSIVE w (n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 900) SELECT n FROM w"
    );
    transaction.execute(AssertSqlSafe(weight)).await?;
    for (id,) in accounts {
        let locked = sqlx::query("SELECT 1 FROM accounts WHERE id = ? FOR UPDATE")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await;
        match locked {
            Ok(_) => sleep(Duration::from_millis(15)).await,
            Err(sqlx::Error::Database(error)) if error.message().contains("Deadlock") => {
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        }
    }
    transaction.rollback().await?;
    sleep(Duration::from_millis(10)).await;
    Ok(false)
}

/// 33. Somebody else holds the accounts longer than a statement waits for them.
#[tokio::test]
async fn lock_time_outs_lose_nothing() -> Result<()> {
    live(async |live| {
        let impatient = ("HOLDFAST__STORES__LOCK_WAIT_TIMEOUT_S", "1");
        live.pipeline.give_services_more(&[impatient])?;
        live.restart(&[WORKER]).await?;
        let load = live.load_of(240, 60).await?;
        let merchant = load.recorder.merchant.clone();
        let mut locks = Vec::new();
        for url in &live.env().account_shards {
            let mut connection = live.connect(url).await?;
            connection.execute("START TRANSACTION").await?;
            let statement = "SELECT id FROM accounts WHERE merchant = ? FOR UPDATE";
            let all = sqlx::query(statement).bind(&merchant.name);
            all.fetch_all(&mut connection).await?;
            locks.push(connection);
        }
        let (_, before) = live.rows(&merchant).await?;
        sleep(Duration::from_millis(3_200)).await;
        let (_, after) = live.rows(&merchant).await?;
        // What had its money reserved may still end.
        ensure!(
            after - before < 100,
            "{} ended past the locks",
            after - before
        );
        for lock in locks {
            lock.close().await?;
        }
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 33. Connections break wherever they are: before the server took a COMMIT, and after it.
#[tokio::test]
async fn connections_cut_around_the_commit_lose_nothing() -> Result<()> {
    live(async |live| {
        let network = live.behind_proxies(&[WORKER]).await?;
        let load = live.endless_load().await?;
        let mut rng = live.rng();
        for _ in 0..60 {
            let direction = if rng.random() {
                Direction::Up
            } else {
                Direction::Down
            };
            // An answer to COMMIT is some dozen bytes, a set's statements are some thousand.
            let bytes_max = if direction == Direction::Up {
                6_000
            } else {
                600
            };
            let bytes = rng.random_range(0..bytes_max);
            let server = DATABASES[rng.random_range(0..2)];
            network.set(server, Fault::ResetAfter { direction, bytes });
            sleep(Duration::from_millis(rng.random_range(20..150))).await;
            network.set(server, Fault::Pass);
            sleep(Duration::from_millis(rng.random_range(0..60))).await;
        }
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 34. A server lets nobody in any more, and has thrown out whoever was.
#[tokio::test]
async fn a_database_with_too_many_connections_is_waited_for() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        sleep(Duration::from_millis(800)).await;
        let mut own = live.connect(&live.env().order_shards[1]).await?;
        own.execute("SET GLOBAL max_connections = 1").await?;
        for _ in 0..20 {
            let others: Vec<(u64,)> = sqlx::query_as(
                "SELECT id FROM information_schema.processlist \
                 WHERE user = SUBSTRING_INDEX(USER(), '@', 1) AND id <> CONNECTION_ID()",
            )
            .fetch_all(&mut own)
            .await?;
            for (id,) in others {
                // It may be gone already.
                let _ = own.execute(AssertSqlSafe(format!("KILL {id}"))).await;
            }
            sleep(Duration::from_millis(150)).await;
        }
        own.execute("SET GLOBAL max_connections = 300").await?;
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 35. Ten thousand orders of one payer to one payee (a thousand where time is short) at once,
/// and somebody else's meanwhile: each of these ends within ten seconds of its submission, or on a
/// slow machine within half the time that all of it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_payer_and_a_hot_payee_starve_nobody() -> Result<()> {
    live(async |live| {
        let orders = if at_full_length() { 10_000 } else { 960 };
        let hot = Merchant::open(&live.pipeline).await?;
        let asked = Asked {
            payer: hot.customer(100_000_000).await?,
            payee: hot.account.clone(),
            amount: 7,
        };
        let recorder = Recorder::of(hot);
        let begun = Instant::now();
        let lanes = (0..32).map(|lane| {
            let (recorder, asked) = (recorder.clone(), asked.clone());
            tokio::spawn(async move {
                for place in 0..orders / 32 {
                    let told = recorder
                        .submit(&format!("hot-{lane}-{place}"), &asked)
                        .await;
                    ensure!(matches!(told, Told::Accepted { .. }), "{told:?}");
                }
                anyhow::Ok(())
            })
        });
        let lanes: Vec<_> = lanes.collect();
        let slowest = others_meanwhile(live, 40).await?;
        for lane in join_all(lanes).await {
            lane??;
        }
        println!(
            "submitted within {:?}; the others' slowest {slowest:?}",
            begun.elapsed()
        );
        live.pipeline.assert_invariants().await?;
        let bound = (begun.elapsed() / 2).max(Duration::from_secs(10));
        ensure!(slowest < bound, "INV-8: {slowest:?}");
        let figures = recorder.assert_true(&live.pipeline).await?;
        println!("ended within {:?}", begun.elapsed());
        ensure!(figures.paid == orders / 32 * 32, "{figures:?}");
        live.assert_nothing_is_stuck().await
    })
    .await
}

/// Submits orders of another merchant, one after the other; how long the slowest took to end.
async fn others_meanwhile(live: &crate::live::Live, count: usize) -> Result<Duration> {
    let other = Merchant::open(&live.pipeline).await?;
    let asked = Asked {
        payer: other.customer(100_000).await?,
        payee: other.account.clone(),
        amount: 10,
    };
    let recorder = Recorder::of(other);
    let mut slowest = Duration::ZERO;
    for place in 0..count {
        let begun = Instant::now();
        let told = recorder
            .submit_and_wait(&format!("other-{place}"), &asked, 20)
            .await;
        slowest = slowest.max(begun.elapsed());
        let paid = matches!(&told, Told::Accepted { status, .. } if status == "paid");
        ensure!(paid, "INV-8: {told:?}");
    }
    Ok(slowest)
}

/// 36. Both primaries restart in order, one after the other; no service has to be started again.
#[tokio::test]
async fn orderly_restarts_of_the_primaries_lose_nothing() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        let services = live.pipeline.stack.services();
        let pids = || {
            services
                .iter()
                .map(|name| live.handle(*name).pid())
                .collect::<Vec<_>>()
        };
        let before = pids();
        for server in ["mysql-1", "mysql-0"] {
            sleep(Duration::from_millis(600)).await;
            live.pipeline.restart(server).await?;
        }
        live.finish(load).await?;
        ensure!(pids() == before, "a service ended");
        Ok(())
    })
    .await
}
