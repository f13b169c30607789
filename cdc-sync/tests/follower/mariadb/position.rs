//! Where a follower of MariaDB begins, and where it goes on.

use super::{OwnServer, follow_and_stop, position_is, saved};
use crate::crash::spawn;
use crate::orders::Shard;
use crate::world::{World, eventually};
use domain::OrderId;
use mysql_async::prelude::Queryable;
use rand::Rng;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_load_misses_nothing() {
    OwnServer::run(1, async |world, _| {
        for round in 0..5 {
            world.settings.follower.snapshot_rows_max = 200;
            let path = format!("/{}/_doc/orders-0", world.settings.search.follower_index);
            world.search.ask(Method::DELETE, &path, None).await;
            let shard = &world.shards[0];
            let writes = async {
                for _ in 0..40 {
                    let ids = shard.accept(3).await;
                    shard.pay(&ids).await;
                }
            };
            let follow = async {
                tokio::time::sleep(Duration::from_millis(20 * round)).await;
                world.follow().await
            };
            let ((), follower) = tokio::join!(writes, follow);
            world.agree().await;
            follower.stop().await;
        }
    })
    .await;
}

/// MariaDB counts a transaction as written before its rows can be seen: here it waits in between, for a
/// replica that does not come.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_written_but_not_yet_visible_is_not_missed_by_a_snapshot() {
    OwnServer::run(1, async |world, _| {
        let shard = &world.shards[0];
        shard.accept(3).await;
        for sql in [
            "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC",
            "SET GLOBAL rpl_semi_sync_master_timeout = 6000",
            "SET GLOBAL rpl_semi_sync_master_enabled = ON",
        ] {
            shard.execute(sql).await;
        }
        let follow = async {
            eventually("the commit is written", async || {
                let sql = "SHOW STATUS LIKE 'Rpl_semi_sync_master_wait_sessions'";
                let (_, waiting): (String, u32) =
                    shard.conn().await.query_first(sql).await.unwrap().unwrap();
                if waiting == 1 {
                    Ok(())
                } else {
                    Err(format!("{waiting} wait"))
                }
            })
            .await;
            assert_eq!(
                shard.states().await.len(),
                3,
                "the commit is visible already"
            );
            let follower = world.follow().await;
            follower.ready().await;
            follower
        };
        let (_, follower) = tokio::join!(shard.accept(1), follow);
        world.agree().await;
        assert_eq!(shard.states().await.len(), 4);
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_under_load_goes_on_at_its_position() {
    OwnServer::run(1, async |world, _| {
        for _ in 0..4 {
            let mut process = spawn(world);
            for _ in 0..4 {
                let ids = world.shards[0].accept(200).await;
                world.shards[0].pay(&ids).await;
                tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..150))).await;
            }
            process.kill().unwrap();
            process.wait().unwrap();
        }
        let old = world.shards[0].accept(1).await[0];
        follow_and_stop(world).await;
        let before = world.search.seq_no(&old).await;
        world.shards[0].accept(2).await;
        follow_and_stop(world).await;
        assert_eq!(
            world.search.seq_no(&old).await,
            before,
            "the old order was written again"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_position_means_a_snapshot_and_one_that_is_just_left_does_not() {
    OwnServer::run(1, async |world, _| {
        let old = world.shards[0].accept(20).await;
        follow_and_stop(world).await;
        let before = world.search.seq_no(&old[19]).await;
        purge_all_but_the_newest(&world.shards[0]).await;
        world.shards[0].accept(1).await;
        follow_and_stop(world).await;
        assert_eq!(
            world.search.seq_no(&old[19]).await,
            before,
            "a snapshot was taken"
        );
        world.shards[0].pay(&old[..5]).await;
        purge_all_but_the_newest(&world.shards[0]).await;
        world.shards[0].accept(1).await;
        follow_and_stop(world).await;
        assert!(
            world.search.seq_no(&old[19]).await > before,
            "no snapshot was taken"
        );
    })
    .await;
}

async fn purge_all_but_the_newest(shard: &Shard) {
    // The engines must be through with a file before it may go.
    eventually("only one binlog is left", async || {
        shard.execute("FLUSH BINARY LOGS").await;
        let files: Vec<mysql_async::Row> =
            shard.conn().await.query("SHOW BINARY LOGS").await.unwrap();
        let newest: String = files.last().unwrap().get(0).unwrap();
        shard
            .execute(&format!("PURGE BINARY LOGS TO '{newest}'"))
            .await;
        let files: Vec<mysql_async::Row> =
            shard.conn().await.query("SHOW BINARY LOGS").await.unwrap();
        if files.len() == 1 {
            Ok(())
        } else {
            Err(format!("{} files", files.len()))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_kept_for_each_domain() {
    OwnServer::run(1, async |world, _| {
        let old = world.shards[0].accept(3).await;
        let follower = world.follow().await;
        follower.ready().await;
        world.agree().await;
        in_domain(world, 7, &old).await;
        position_is(world, "the domain is part of the position", |p| {
            p.contains("7-1-1")
        })
        .await;
        world.agree().await;
        follower.stop().await;
        let before = world.search.seq_no(&old[2]).await;
        // Both go on while nobody follows.
        in_domain(world, 7, &old[..1]).await;
        world.shards[0].accept(2).await;
        world.shards[0].execute("FLUSH BINARY LOGS").await;
        in_domain(world, 7, &old[1..2]).await;
        follow_and_stop(world).await;
        assert_eq!(
            world.search.seq_no(&old[2]).await,
            before,
            "the rest was written again"
        );
        position_is(world, "it went on", |p| p.contains("7-1-3")).await;
    })
    .await;
}

/// Raises the version of orders, in one transaction of this domain.
async fn in_domain(world: &World, domain: u32, ids: &[OrderId]) {
    let mut conn = world.shards[0].conn().await;
    conn.query_drop(format!("SET gtid_domain_id = {domain}"))
        .await
        .unwrap();
    let list: Vec<String> = ids
        .iter()
        .map(|id| format!("0x{}", id.to_string().trim_start_matches("ord_")))
        .collect();
    let sql = format!(
        "UPDATE orders SET version = version + 1 WHERE id IN ({})",
        list.join(",")
    );
    conn.query_drop(sql).await.unwrap();
    conn.query_drop("SET gtid_domain_id = 0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_set_back_is_refused_and_one_of_the_other_kind_means_a_snapshot() {
    OwnServer::run(1, async |world, _| {
        let old = world.shards[0].accept(2).await;
        follow_and_stop(world).await;
        let path = format!("/{}/_doc/orders-0", world.settings.search.follower_index);
        let put = async |position: &str| {
            let mut saved = saved(world).await;
            saved["position"] = json!(position);
            world
                .search
                .ask(Method::PUT, &path, Some(saved))
                .await
                .unwrap();
        };
        put("0-1-900000000").await;
        let failure = world.follow().await.failure().await;
        assert!(failure.contains("is ahead of the server"), "{failure}");
        // A number that the server has reached, but by another server's hand.
        put("0-99-1").await;
        let failure = world.follow().await.failure().await;
        assert!(failure.contains("is ahead of the server"), "{failure}");
        let before = world.search.seq_no(&old[0]).await;
        put("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").await;
        follow_and_stop(world).await;
        assert!(
            world.search.seq_no(&old[0]).await > before,
            "no snapshot was taken"
        );
        position_is(world, "the position is MariaDB's", |p| {
            p.starts_with("0-1-")
        })
        .await;
    })
    .await;
}
