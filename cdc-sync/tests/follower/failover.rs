//! Another server takes over, on either database.

use crate::orders::Shard;
use crate::world::{World, eventually};
use futures_util::FutureExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use serde_json::json;
use stack::{Database, Stack, StackOptions};
use std::panic::{AssertUnwindSafe, resume_unwind};

/// Two servers of our own, of which the second replicates the first.
struct Pair {
    stack: Stack,
    replica: Conn,
}

impl Pair {
    async fn run(database: Database, test: impl AsyncFnOnce(&mut World, &mut Self)) {
        let folder = tempfile::tempdir().unwrap();
        let options = StackOptions {
            database: Some(database),
            bin_dir: None,
        };
        let stack = Stack::create(folder.path(), options).await.unwrap();
        for name in ["mysql-0", "mysql-1"] {
            stack.server(name).unwrap().start().await.unwrap();
        }
        let urls = stack.env().order_shards.clone();
        let replica = Conn::new(Opts::from_url(&urls[1]).unwrap()).await.unwrap();
        let mut pair = Self { stack, replica };
        pair.replicate(database, &Opts::from_url(&urls[0]).unwrap())
            .await;
        let tested = World::run_on(vec![urls[0].clone()], async |world| {
            test(world, &mut pair).await
        });
        let ended = AssertUnwindSafe(tested).catch_unwind().await;
        pair.stack.down().await.unwrap();
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
    }

    async fn replicate(&mut self, database: Database, source: &Opts) {
        let (host, port) = (source.ip_or_hostname(), source.tcp_port());
        let (user, password) = (source.user().unwrap(), source.pass().unwrap());
        let statements = match database {
            Database::Mysql => vec![
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{host}', SOURCE_PORT = {port}, \
                     SOURCE_USER = '{user}', SOURCE_PASSWORD = '{password}', \
                     SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
                ),
                "START REPLICA".to_owned(),
            ],
            Database::MariaDb => vec![
                // What it wrote when it was made would stand before what it is to replicate.
                "RESET MASTER".to_owned(),
                format!(
                    "CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, \
                     MASTER_USER = '{user}', MASTER_PASSWORD = '{password}', \
                     MASTER_USE_GTID = slave_pos"
                ),
                "START SLAVE".to_owned(),
            ],
        };
        for statement in statements {
            self.replica.query_drop(statement).await.unwrap();
        }
    }

    /// Waits until the replica has as many orders as the shard, in the same versions.
    async fn is_level(&mut self, shard: &Shard) {
        let expected: u64 = shard
            .states()
            .await
            .iter()
            .map(|(_, version, _)| version)
            .sum();
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(version), 0) AS UNSIGNED) FROM {}.orders",
            shard.schema
        );
        let replica = &mut self.replica;
        eventually("the replica has it all", async || {
            match replica.query_first::<u64, _>(&sql).await {
                Ok(Some(found)) if found == expected => Ok(()),
                other => Err(format!("{other:?}, not {expected}")),
            }
        })
        .await;
    }

    async fn stop_replication(&mut self) {
        // A word that both know.
        self.replica.query_drop("STOP REPLICA").await.unwrap();
    }

    /// From now on the second server has the shard's address in the settings.
    fn takes_over(&self, world: &mut World) {
        let url = &self.stack.env().order_shards[1];
        let schema = &world.shards[0].schema;
        let base = url.rsplit_once('/').unwrap().0;
        world.settings.stores.order_shards.0[0] = format!("{base}/{schema}");
    }

    /// Raises each order's version on the second server.
    async fn change_all(&mut self, schema: &str) {
        let sql = format!("UPDATE {schema}.orders SET version = version + 1");
        self.replica.query_drop(sql).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_server_that_takes_over_is_followed_from_the_position() {
    Pair::run(Database::Mysql, goes_on_from_the_position).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_server_that_takes_over_is_followed_from_the_position() {
    Pair::run(Database::MariaDb, goes_on_from_the_position).await;
}

async fn goes_on_from_the_position(world: &mut World, pair: &mut Pair) {
    let old = world.shards[0].accept(3).await;
    let follower = world.follow().await;
    follower.ready().await;
    world.agree().await;
    follower.stop().await;
    let before = world.search.saved_position("orders-0").await.unwrap();
    let last = world.search.seq_no(&old[2]).await;
    let missed = world.shards[0].accept(2).await;
    pair.is_level(&world.shards[0]).await;
    pair.stop_replication().await;
    pair.takes_over(world);
    let follower = world.follow().await;
    world.agree().await;
    assert_eq!(
        world.search.seq_no(&old[2]).await,
        last,
        "a snapshot was taken"
    );
    pair.change_all(&world.shards[0].schema).await;
    eventually("its own changes are followed", async || {
        let document = world.search.document(&missed[0]).await.unwrap_or_default();
        (document["_version"] == json!(2))
            .then_some(())
            .ok_or(document.to_string())
    })
    .await;
    follower.stop().await;
    let after = world.search.saved_position("orders-0").await.unwrap();
    assert_ne!(after["server"], before["server"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_server_that_takes_over_without_all_of_it_means_a_snapshot() {
    Pair::run(Database::Mysql, lacks_the_last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_server_that_takes_over_without_all_of_it_means_a_snapshot() {
    Pair::run(Database::MariaDb, lacks_the_last).await;
}

/// MySQL says of such a server that it has purged what came before.
#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_replica_that_was_made_after_our_position_means_a_snapshot() {
    Pair::run(Database::MariaDb, async |world, pair| {
        world.shards[0].accept(3).await;
        let follower = world.follow().await;
        follower.ready().await;
        world.agree().await;
        follower.stop().await;
        world.shards[0].accept(2).await;
        pair.is_level(&world.shards[0]).await;
        // As if it was made from a copy that was taken now.
        for statement in ["STOP SLAVE", "RESET MASTER", "START SLAVE"] {
            pair.replica.query_drop(statement).await.unwrap();
        }
        world.shards[0].accept(1).await;
        pair.is_level(&world.shards[0]).await;
        pair.stop_replication().await;
        pair.takes_over(world);
        let follower = world.follow().await;
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
    })
    .await;
}

async fn lacks_the_last(world: &mut World, pair: &mut Pair) {
    let old = world.shards[0].accept(3).await;
    pair.is_level(&world.shards[0]).await;
    pair.stop_replication().await;
    world.shards[0].accept(1).await;
    let follower = world.follow().await;
    follower.ready().await;
    world.agree().await;
    follower.stop().await;
    let last = world.search.seq_no(&old[2]).await;
    pair.takes_over(world);
    let follower = world.follow().await;
    follower.ready().await;
    pair.change_all(&world.shards[0].schema).await;
    eventually("its own changes are followed", async || {
        let document = world.search.document(&old[0]).await.unwrap_or_default();
        (document["_version"] == json!(2))
            .then_some(())
            .ok_or(document.to_string())
    })
    .await;
    assert!(
        world.search.seq_no(&old[2]).await > last,
        "no snapshot was taken"
    );
    follower.stop().await;
}
