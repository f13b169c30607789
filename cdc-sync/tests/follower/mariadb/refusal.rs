//! What stops the stream of a MariaDB server for good, and in which words.

use super::{OwnServer, follow_and_stop};
use crate::search::Search;
use crate::world::Following;
use mysql_async::prelude::Queryable;

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_setting_is_named() {
    OwnServer::run(1, async |world, _| {
        for (name, wrong, right) in [
            ("binlog_row_metadata", "MINIMAL", "FULL"),
            ("binlog_row_image", "MINIMAL", "FULL"),
            ("binlog_checksum", "NONE", "CRC32"),
            ("gtid_strict_mode", "OFF", "ON"),
            ("binlog_format", "MIXED", "ROW"),
            ("log_bin_compress", "ON", "OFF"),
        ] {
            let shard = &world.shards[0];
            shard.execute(&format!("SET GLOBAL {name} = {wrong}")).await;
            let failure = world.follow().await.failure().await;
            shard.execute(&format!("SET GLOBAL {name} = {right}")).await;
            assert!(failure.contains(name), "{name}: {failure}");
        }
        world.shards[0].accept(2).await;
        follow_and_stop(world).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_read_the_binlog_is_refused_by_the_privilege() {
    OwnServer::run(1, async |world, _| {
        let shard = &world.shards[0];
        shard
            .execute("CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'r'")
            .await;
        let url = world.settings.stores.order_shards.0[0].clone();
        let (_, rest) = url.split_once('@').unwrap();
        world.settings.stores.order_shards.0[0] = format!("mysql://reader:r@{rest}");
        for lacks in ["REPLICATION SLAVE", "BINLOG MONITOR"] {
            let failure = world.follow().await.failure().await;
            assert!(failure.contains(lacks), "{lacks}: {failure}");
            shard
                .execute(&format!("GRANT {lacks} ON *.* TO reader@'127.0.0.1'"))
                .await;
        }
        shard
            .execute(&format!(
                "GRANT SELECT ON {}.* TO reader@'127.0.0.1'",
                shard.schema
            ))
            .await;
        follow_and_stop(world).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_rows_of_another_session_are_refused_in_the_stream() {
    OwnServer::run(1, async |world, _| {
        let follower = world.follow().await;
        follower.ready().await;
        let shard = &world.shards[0];
        // Someone switches it on after the start.
        shard
            .execute("SET GLOBAL log_bin_compress_min_len = 10")
            .await;
        shard.execute("SET GLOBAL log_bin_compress = ON").await;
        shard.accept(300).await;
        let failure = follower.failure().await;
        assert!(failure.contains("log_bin_compress"), "{failure}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_in_place_of_rows_is_refused() {
    OwnServer::run(1, async |world, _| {
        let follower = world.follow().await;
        follower.ready().await;
        let mut conn = world.shards[0].conn().await;
        for sql in [
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET SESSION binlog_format = STATEMENT",
            "UPDATE orders SET version = version + 1 WHERE seq = 0",
        ] {
            conn.query_drop(sql).await.unwrap();
        }
        let failure = follower.failure().await;
        assert!(failure.contains("binlog_format is not ROW"), "{failure}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_followers_with_one_server_id_the_first_says_so_and_stops() {
    OwnServer::run(1, async |world, _| {
        let first = world.follow().await;
        first.ready().await;
        // Of the same indices one would stand by.
        let mut settings = world.settings.clone();
        for name in [
            &mut settings.search.alias,
            &mut settings.search.index,
            &mut settings.search.follower_index,
        ] {
            *name = format!("{}-other{}", world.suffix, &name[world.suffix.len()..]);
        }
        let others = Search::new(&settings.search, 1);
        let second = Following::start(settings).await;
        let failure = first.failure().await;
        assert!(failure.contains("uses our server id"), "{failure}");
        second.acts().await;
        second.stop().await;
        others.remove(&world.suffix).await;
    })
    .await;
}
