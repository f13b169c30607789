//! What the stream brings.

use crate::world::{World, eventually};
use domain::OrderId;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_snapshot_and_of_the_stream_are_found_as_they_are_stored() {
    World::run(async |world| {
        let before = world.shards[0].accept(5).await;
        world.shards[1].accept(3).await;
        let follower = world.follow().await;
        world.agree().await;
        follower.ready().await;
        let after = world.shards[1].accept(4).await;
        world.shards[0].pay(&before[..2]).await;
        world.shards[1].pay(&after).await;
        world.agree().await;
        let document = world.search.document(&before[0]).await.unwrap();
        let source = &document["_source"];
        assert_eq!(document["_version"], 2);
        assert_eq!(source["payer"], format!("acct_{}", "01".repeat(16)));
        assert_eq!(source["payee"], format!("acct_{}", "02".repeat(16)));
        assert_eq!(source["reference"], "cart-0");
        assert_eq!(source["description"], "Käse und Brot");
        assert_eq!(
            (&source["amount"], &source["captured"]),
            (&json!(2933), &json!(2933))
        );
        assert_eq!(
            (&source["shard"], &source["currency"]),
            (&json!("orders-0"), &json!("USD"))
        );
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_ends_in_zero_bytes_survives_the_binlog() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let mut bytes: [u8; 16] = rand::random();
        bytes[10..].fill(0);
        let ids = [OrderId::from_bytes(bytes), OrderId::from_bytes([0; 16])];
        world.shards[0].accept_these(&ids).await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_never_replaces_a_newer_one() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let id = world.shards[0].accept(1).await[0];
        world.agree().await;
        let mut newer = world.search.document(&id).await.unwrap()["_source"].take();
        newer["version"] = json!(9);
        newer["status"] = json!("paid");
        let alias = &world.settings.search.alias;
        let path = format!("/{alias}/_doc/{id}?version=9&version_type=external_gte");
        world
            .search
            .ask(Method::PUT, &path, Some(newer))
            .await
            .unwrap();
        world.shards[0].update("version = version + 1", &[id]).await;
        let later = world.shards[0].accept(1).await[0];
        eventually("the later order is there", async || {
            world
                .search
                .document(&later)
                .await
                .map(|_| ())
                .ok_or("not yet".to_owned())
        })
        .await;
        let document = world.search.document(&id).await.unwrap();
        assert_eq!(
            (&document["_version"], &document["_source"]["status"]),
            (&json!(9), &json!("paid"))
        );
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_not_written() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(3).await;
        world.agree().await;
        let before = world.search.seq_no(&ids[0]).await;
        world.shards[0].lease(&ids).await;
        world.shards[0].accept(1).await;
        world.agree().await;
        assert_eq!(world.search.seq_no(&ids[0]).await, before);
        world.shards[0].pay(&ids).await;
        world.agree().await;
        assert!(world.search.seq_no(&ids[0]).await > before);
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_other_schemas_and_tables_are_ignored_and_move_the_position() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let shard = &world.shards[0];
        let other = format!("cdc_{}_other", world.suffix);
        shard.execute(&format!("CREATE DATABASE {other}")).await;
        shard
            .execute(&format!("CREATE TABLE {other}.orders LIKE orders"))
            .await;
        let ids = shard.accept(2).await;
        shard
            .execute(&format!("INSERT INTO {other}.orders SELECT * FROM orders"))
            .await;
        shard
            .execute("CREATE TABLE notes (id INT PRIMARY KEY)")
            .await;
        shard.execute("INSERT INTO notes VALUES (1)").await;
        shard
            .execute(&format!("UPDATE {other}.orders SET version = version + 5"))
            .await;
        world.agree().await;
        assert_eq!(world.search.document(&ids[0]).await.unwrap()["_version"], 1);
        let before = world.search.as_of().await;
        shard.execute(&format!("DROP DATABASE {other}")).await;
        eventually("the index is fresher", async || {
            let now = world.search.as_of().await;
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_column_flows_past() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        world.shards[0].accept(1).await;
        let alter = "ALTER TABLE orders ADD COLUMN first_of_all INT UNSIGNED NULL FIRST";
        world.shards[0].execute(alter).await;
        let ids = world.shards[0].accept(2).await;
        world.shards[0].pay(&ids).await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

/// Columns that are none of ours, and what they are set to.
const COLUMNS_OF_EVERY_KIND: [(&str, &str, &str); 20] = [
    ("a_tiny", "TINYINT UNSIGNED", "200"),
    ("a_small", "SMALLINT", "-3"),
    ("a_medium", "MEDIUMINT", "-70000"),
    ("a_big", "BIGINT UNSIGNED", "18446744073709551615"),
    ("a_decimal", "DECIMAL(20, 4)", "-123456789.0001"),
    ("a_float", "FLOAT", "1.5"),
    ("a_double", "DOUBLE", "-2.25"),
    ("a_year", "YEAR", "2026"),
    ("a_date", "DATE", "'2026-11-22'"),
    ("a_time", "TIME(3)", "'-12:34:56.789'"),
    ("a_datetime", "DATETIME", "'2026-11-22 01:02:03'"),
    (
        "a_timestamp",
        "TIMESTAMP(6) NULL",
        "'2026-11-22 01:02:03.000004'",
    ),
    ("a_bit", "BIT(13)", "b'1000000000001'"),
    ("a_set", "SET('x', 'y', 'z')", "'x,z'"),
    ("an_enum", "ENUM('x', 'y')", "'y'"),
    ("a_char", "CHAR(200) CHARACTER SET utf8mb4", "'Zürich'"),
    ("a_text", "TEXT", "REPEAT('t', 300)"),
    ("a_blob", "VARBINARY(400)", "REPEAT('b', 300)"),
    ("a_point", "POINT", "POINT(1, 2)"),
    ("a_json", "JSON", "'{\"a\": [1, 2, 3]}'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_every_kind_before_ours_are_passed_over() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let joined = |part: fn(&(&str, &str, &str)) -> String| {
            COLUMNS_OF_EVERY_KIND
                .iter()
                .map(part)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let added = joined(|(name, kind, _)| format!("ADD COLUMN {name} {kind} FIRST"));
        let set = joined(|(name, _, value)| format!("{name} = {value}"));
        world.shards[0]
            .execute(&format!("ALTER TABLE orders {added}"))
            .await;
        world.shards[0].accept(2).await;
        let mut conn = world.shards[0].conn().await;
        for update in [
            "SET SESSION binlog_row_value_options = PARTIAL_JSON".to_owned(),
            format!("UPDATE orders SET {set}, version = version + 1 LIMIT 1"),
            // Differences alone are in the binlog of this one.
            "UPDATE orders SET a_json = JSON_SET(a_json, '$.a[1]', 7), version = version + 1"
                .to_owned(),
        ] {
            use mysql_async::prelude::Queryable;
            conn.query_drop(update).await.unwrap();
        }
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_and_tagged_transactions_are_read() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let mut conn = world.shards[0].conn().await;
        use mysql_async::prelude::Queryable;
        conn.query_drop("SET SESSION binlog_transaction_compression = ON")
            .await
            .unwrap();
        let ids = world.shards[0].accept(300).await;
        world.agree().await;
        conn.query_drop("UPDATE orders SET version = version + 1")
            .await
            .unwrap();
        world.agree().await;
        conn.query_drop("SET gtid_next = 'AUTOMATIC:pay'")
            .await
            .unwrap();
        conn.query_drop("UPDATE orders SET version = version + 1")
            .await
            .unwrap();
        world.agree().await;
        eventually("the tag is part of the position", async || {
            let saved = world
                .search
                .saved_position("orders-0")
                .await
                .unwrap_or_default();
            let position = saved["position"].as_str().unwrap_or_default().to_owned();
            if position.contains(":pay:") {
                Ok(())
            } else {
                Err(position)
            }
        })
        .await;
        follower.stop().await;
        // A new stream asks with the tagged position.
        let follower = world.follow().await;
        follower.ready().await;
        world.shards[0].pay(&ids).await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_a_document_becomes_a_dead_letter_and_the_rest_flows() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(3).await;
        world.agree().await;
        world.shards[0]
            .update("state = 99, version = 7", &ids[..1])
            .await;
        let later = world.shards[0].accept(1).await[0];
        eventually("the later order is there", async || {
            world
                .search
                .document(&later)
                .await
                .map(|_| ())
                .ok_or("not yet".to_owned())
        })
        .await;
        world.shards[0]
            .execute("DELETE FROM orders WHERE state = 99")
            .await;
        let letters = eventually("both dead letters are kept", async || {
            let letters = world.search.dead_letters().await;
            if letters.len() == 1 && letters[0]["reason"].as_str().unwrap().contains("deleted") {
                return Ok(letters);
            }
            Err(format!("{letters:?}"))
        })
        .await;
        assert_eq!(letters[0]["order_id"], ids[0].to_string());
        assert_eq!(letters[0]["version"], "7");
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_a_statement_removes_leave_their_documents_and_do_not_stop_the_clock() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let removed = world.shards[0].accept(2).await;
        world.agree().await;
        world.shards[0].execute("TRUNCATE orders").await;
        let later = world.shards[0].accept(1).await[0];
        eventually("what comes after it is found", async || {
            let document = world.search.document(&later).await;
            document.map(drop).ok_or("not yet".to_owned())
        })
        .await;
        let before = world.search.as_of().await;
        eventually("the index is fresher", async || {
            let now = world.search.as_of().await;
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
        assert!(world.search.document(&removed[0]).await.is_some());
        follower.stop().await;
    })
    .await;
}
