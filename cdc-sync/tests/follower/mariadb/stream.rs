//! What MariaDB's stream brings.

use super::{OwnServer, follow_and_stop, is_found, saved};
use crate::world::eventually;
use domain::OrderId;
use mysql_async::prelude::Queryable;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_snapshot_and_of_the_stream_are_found_as_they_are_stored() {
    OwnServer::run(2, async |world, _| {
        let before = world.shards[0].accept(5).await;
        let follower = world.follow().await;
        world.agree().await;
        follower.ready().await;
        let after = world.shards[1].accept(4).await;
        world.shards[0].pay(&before[..2]).await;
        world.shards[1].pay(&after).await;
        world.agree().await;
        let document = world.search.document(&after[0]).await.unwrap();
        let source = &document["_source"];
        assert_eq!(document["_version"], 2);
        assert_eq!(source["payer"], format!("acct_{}", "01".repeat(16)));
        assert_eq!(
            (&source["amount"], &source["captured"]),
            (&json!(2933), &json!(2933))
        );
        assert_eq!(source["description"], "Käse und Brot");
        assert_eq!(source["shard"], "orders-1");
        follower.stop().await;
        // Two shards of one server share a stream and a position.
        let saved = saved(world).await;
        assert_eq!(saved["shards"], json!(["orders-0", "orders-1"]));
        assert_eq!(
            world.search.saved_position("orders-1").await.unwrap(),
            saved
        );
        assert!(
            saved["position"].as_str().unwrap().starts_with("0-1-"),
            "{saved}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_of_is_an_instant_whose_orders_are_all_found() {
    OwnServer::run(1, async |world, _| {
        let follower = world.follow().await;
        follower.ready().await;
        for _ in 0..20 {
            world.shards[0].accept(20).await;
            let mut conn = world.shards[0].conn().await;
            let sql = "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')";
            let committed_by: String = conn.query_first(sql).await.unwrap().unwrap();
            let expected = world.shards[0].states().await.len();
            eventually("as_of passes the commit", async || {
                let as_of = world.search.as_of().await;
                if as_of > committed_by {
                    Ok(())
                } else {
                    Err(as_of)
                }
            })
            .await;
            // Nothing is refreshed for this.
            assert_eq!(world.search.found().await.len(), expected);
        }
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_a_kill_and_a_rotation_of_the_server_are_survived() {
    OwnServer::run(1, async |world, own| {
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(50).await;
        own.server.stop().await.unwrap();
        follower.complains("orders-0").await;
        own.server.start().await.unwrap();
        world.shards[0].pay(&ids).await;
        world.agree().await;
        own.server.kill().await.unwrap();
        own.server.start().await.unwrap();
        world.shards[0].accept(50).await;
        for _ in 0..3 {
            world.shards[0].execute("FLUSH BINARY LOGS").await;
            world.shards[0].accept(5).await;
        }
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
        // Whoever was away meanwhile reads over the files' ends too.
        world.shards[0].accept(5).await;
        world.shards[0].execute("FLUSH BINARY LOGS").await;
        world.shards[0].accept(5).await;
        follow_and_stop(world).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_says_that_it_is_alive() {
    OwnServer::run(1, async |world, _| {
        world.settings.follower.heartbeat_ms = 100;
        let follower = world.follow().await;
        follower.ready().await;
        world.agree().await;
        let dumps = world.shards[0].dump_connections().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.shards[0].dump_connections().await, dumps);
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_is_not_shown() {
    OwnServer::run(1, async |world, _| {
        let shard = &world.shards[0];
        let ids = shard.accept(2).await;
        let follower = world.follow().await;
        follower.ready().await;
        // Where a table without transactions took part, what is undone stays in the binlog.
        shard
            .execute("CREATE TABLE notes (n INT) ENGINE = MyISAM")
            .await;
        let mut conn = shard.conn().await;
        for sql in [
            "BEGIN",
            "UPDATE orders SET version = version + 1",
            "SAVEPOINT p",
            "UPDATE orders SET version = version + 5, state = 99",
            "INSERT INTO notes VALUES (1)",
            "ROLLBACK TO p",
            "COMMIT",
            "BEGIN",
            "UPDATE orders SET version = version + 5",
            "INSERT INTO notes VALUES (1)",
            "ROLLBACK",
            "XA START 'x'",
            "INSERT INTO notes VALUES (2)",
            "XA END 'x'",
            "XA PREPARE 'x'",
            "XA ROLLBACK 'x'",
        ] {
            conn.query_drop(sql).await.unwrap();
        }
        let later = shard.accept(1).await[0];
        is_found(world, &later).await;
        world.agree().await;
        assert_eq!(world.search.document(&ids[0]).await.unwrap()["_version"], 2);
        assert!(world.search.dead_letters().await.is_empty());
        follower.ready().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xa_transaction_of_others_flows_past_and_one_on_orders_is_refused() {
    OwnServer::run(1, async |world, _| {
        let shard = &world.shards[0];
        let ids = shard.accept(1).await;
        shard.execute("CREATE TABLE others (n INT)").await;
        let follower = world.follow().await;
        follower.ready().await;
        let mut conn = shard.conn().await;
        for end in ["XA COMMIT 'x'", "XA ROLLBACK 'x'"] {
            for sql in [
                "XA START 'x'",
                "INSERT INTO others VALUES (1)",
                "XA END 'x'",
                "XA PREPARE 'x'",
                end,
            ] {
                conn.query_drop(sql).await.unwrap();
            }
        }
        let later = shard.accept(1).await[0];
        is_found(world, &later).await;
        for sql in [
            "XA START 'y'",
            "UPDATE orders SET version = version + 1",
            "XA END 'y'",
            "XA PREPARE 'y'",
        ] {
            conn.query_drop(sql).await.unwrap();
        }
        let failure = follower.failure().await;
        conn.query_drop("XA ROLLBACK 'y'").await.unwrap();
        assert!(failure.contains("XA transaction"), "{failure}");
        assert_eq!(world.search.document(&ids[0]).await.unwrap()["_version"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tables_and_all_kinds_of_statements_flow_past() {
    OwnServer::run(1, async |world, _| {
        let shard = &world.shards[0];
        let follower = world.follow().await;
        follower.ready().await;
        for sql in [
            "CREATE TABLE copies AS SELECT * FROM orders",
            "ALTER TABLE orders ADD COLUMN first_of_all INT UNSIGNED NULL FIRST",
            "CREATE TABLE plain (n INT) ENGINE = MyISAM",
            "INSERT INTO plain VALUES (1), (2)",
            "CREATE SEQUENCE counted",
            "SELECT NEXT VALUE FOR counted",
            "SET STATEMENT binlog_format = STATEMENT FOR INSERT INTO plain VALUES (3)",
            "CREATE OR REPLACE TABLE copies AS SELECT * FROM orders",
            "TRUNCATE copies",
            "DROP TABLE copies, plain",
        ] {
            shard.execute(sql).await;
            shard.accept(2).await;
        }
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
    })
    .await;
}

/// A server that is killed while it writes a transaction to its binlog leaves a part of it there.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_server_died_in_the_middle_of_is_not_shown() {
    OwnServer::run(1, async |world, own| {
        let follower = world.follow().await;
        follower.ready().await;
        world.agree().await;
        follower.stop().await;
        let torn = world.shards[0].accept(1).await[0];
        let files: Vec<mysql_async::Row> = world.shards[0]
            .conn()
            .await
            .query("SHOW BINARY LOGS")
            .await
            .unwrap();
        let newest: String = files.last().unwrap().get(0).unwrap();
        own.server.kill().await.unwrap();
        let path = own.folder.path().join("data/mysql-0").join(newest);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        // The last event of it, which has 31 bytes with its checksum, says that it is committed.
        let length = file.metadata().unwrap().len();
        file.set_len(length - 31).unwrap();
        own.server.start().await.unwrap();
        // The server's own rows are whole; they go the way they would have gone.
        let gone = format!("DELETE FROM orders WHERE id = 0x{}", hex_of(&torn));
        let mut conn = world.shards[0].conn().await;
        conn.query_drop("SET sql_log_bin = 0").await.unwrap();
        conn.query_drop(gone).await.unwrap();
        let later = world.shards[0].accept(3).await;
        let follower = world.follow().await;
        is_found(world, &later[0]).await;
        world.agree().await;
        assert!(world.search.document(&torn).await.is_none());
        follower.ready().await;
        follower.stop().await;
    })
    .await;
}

fn hex_of(id: &OrderId) -> String {
    id.to_string().trim_start_matches("ord_").to_owned()
}
