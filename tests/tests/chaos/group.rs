//! 25, 26 and 31: workers that lose their partitions at the wrong moment, and those that must not.

use crate::live::{DATABASES, Live, live, until};
use anyhow::{Result, ensure};
use holdfast_tests::{Fault, Load};
use sqlx::{Connection, Executor, MySqlConnection};
use stack::ServerName;
use std::time::Duration;
use tokio::time::sleep;

const FIRST: ServerName = ServerName::Consumer(1);
const SECOND: ServerName = ServerName::Consumer(2);
/// A session that a sleeper left with rows locked is ended after this, in the place of 20 s.
const SHORT_IDLE: (&str, &str) = ("HOLDFAST__STORES__IDLE_TIMEOUT_S", "4");
const MOVED_WITHIN: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_secs(30);

impl Live {
    /// Both workers' settings; whoever runs already keeps what it has.
    fn workers_get(&self, variables: &[(&str, &str)]) -> Result<()> {
        self.pipeline.give_services_more(variables)
    }

    /// The second worker has every partition: the group has given the first one up.
    async fn second_has_everything(&self) -> Result<()> {
        let partitions = "consumer_assigned_partitions";
        until(MOVED_WITHIN, "the partitions move", async || {
            Ok(self.metric(SECOND, partitions, "").await.unwrap_or(0.0) >= 12.0)
        })
        .await
    }

    /// The first worker is asleep with its work half done. The second gets all of it and more, and
    /// then the first goes on where it was.
    async fn first_sleeps_while_its_partitions_move(&self, load: &Load) -> Result<()> {
        self.workers_get(&[])?;
        self.handle(FIRST).pause()?;
        self.handle(SECOND).start().await?;
        self.second_has_everything().await?;
        let (_, ended) = self.rows(&load.recorder.merchant).await?;
        until(SOON, "the second worker gets on", async || {
            Ok(self.rows(&load.recorder.merchant).await?.1 > ended)
        })
        .await?;
        Ok(self.handle(FIRST).resume()?)
    }
}

/// 25. The partitions move after the SQL commit and before the offset commit: all of it is
/// redelivered, and what the first worker then commits is too late.
#[tokio::test]
async fn a_rebalance_between_sql_commit_and_offset_commit_does_nothing_twice() -> Result<()> {
    live(async |live| {
        let asleep = ("HOLDFAST_FAULTS", "before-offset-commit=1*sleep(6000)");
        live.workers_get(&[asleep])?;
        live.restart(&[FIRST]).await?;
        let load = live.endless_load().await?;
        until(SOON, "something is committed by SQL", async || {
            Ok(live.rows(&load.recorder.merchant).await?.1 > 0)
        })
        .await?;
        live.first_sleeps_while_its_partitions_move(&load).await?;
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 25. Workers join and leave while every other commit of offsets is late.
#[tokio::test]
async fn workers_that_come_and_go_before_offset_commits_do_nothing_twice() -> Result<()> {
    live(async |live| {
        live.workers_get(&[("HOLDFAST_FAULTS", "before-offset-commit=50%sleep(300)")])?;
        live.restart(&[FIRST]).await?;
        let load = live.endless_load().await?;
        live.handle(SECOND).start().await?;
        sleep(Duration::from_millis(700)).await;
        live.handle(FIRST).stop().await?;
        live.handle(FIRST).start().await?;
        sleep(Duration::from_millis(700)).await;
        live.handle(SECOND).kill().await?;
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 26. The partitions move while a SQL transaction is open: its worker sleeps with the rows locked,
/// the server ends that session, another worker does the work, and the sleeper's own end comes to
/// nothing.
#[tokio::test]
async fn a_rebalance_before_the_sql_commit_does_nothing_twice() -> Result<()> {
    live(async |live| {
        live.workers_get(&[SHORT_IDLE])?;
        live.restart(&[FIRST]).await?;
        let load = live.endless_load().await?;
        let mut locks = Vec::new();
        for url in &live.env().account_shards {
            locks.push(
                lock_all_accounts(live.connect(url).await?, &load.recorder.merchant.name).await?,
            );
        }
        until(
            SOON,
            "orders are logged and wait for the locks",
            async || {
                let (rows, ended) = live.rows(&load.recorder.merchant).await?;
                Ok(rows > ended)
            },
        )
        .await?;
        sleep(Duration::from_millis(200)).await;
        live.handle(FIRST).pause()?;
        // The sleeper's statements get what they waited for, and its transactions stay open.
        for lock in locks {
            lock.close().await?;
        }
        live.first_sleeps_while_its_partitions_move(&load).await?;
        live.finish(load).await?;
        Ok(())
    })
    .await
}

async fn lock_all_accounts(
    mut connection: MySqlConnection,
    merchant: &str,
) -> Result<MySqlConnection> {
    connection.execute("START TRANSACTION").await?;
    sqlx::query("SELECT id FROM accounts WHERE merchant = ? FOR UPDATE")
        .bind(merchant)
        .fetch_all(&mut connection)
        .await?;
    Ok(connection)
}

/// 31. Databases that take 200 ms for an answer, and so seconds for an order, are no reason to lose partitions: orders go on
/// ending, slowly, and nobody is thrown out of the group.
#[tokio::test]
async fn slow_databases_cause_no_rebalance() -> Result<()> {
    live(async |live| {
        live.workers_get(&[])?;
        let network = live.behind_proxies(&[FIRST]).await?;
        let load = live.endless_load().await?;
        let merchant = load.recorder.merchant.clone();
        until(SOON, "orders end", async || {
            Ok(live.rows(&merchant).await?.1 > 0)
        })
        .await?;
        let rebalances = live.metric(FIRST, "consumer_rebalances_total", "").await?;
        for server in DATABASES {
            // Each way.
            network.set(server, Fault::Delay(Duration::from_millis(100)));
        }
        let (_, before) = live.rows(&merchant).await?;
        // Longer than a session.
        sleep(Duration::from_secs(8)).await;
        until(SOON, "orders end, slowly", async || {
            Ok(live.rows(&merchant).await?.1 > before)
        })
        .await?;
        let now = live.metric(FIRST, "consumer_rebalances_total", "").await?;
        ensure!(now <= rebalances, "{} rebalances", now - rebalances);
        for server in DATABASES {
            network.set(server, Fault::Pass);
        }
        live.finish(load).await?;
        Ok(())
    })
    .await
}
