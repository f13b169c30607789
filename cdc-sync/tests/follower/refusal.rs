//! What stops a stream for good, and in which words.

use crate::search::Search;
use crate::world::{Following, World};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_name_is_refused() {
    World::run(async |world| {
        world.settings.stores.order_shards.0.swap(0, 1);
        let failure = world.follow().await.failure().await;
        assert!(failure.contains("the database of orders-0"), "{failure}");
        assert!(failure.contains("calls itself orders-1"), "{failure}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_transactions_is_refused() {
    World::run(async |world| {
        world.settings.stores.order_shards.0.truncate(1);
        let follower = world.follow().await;
        follower.ready().await;
        let id = world.shards[0].accept(1).await[0];
        crate::world::eventually("the order is there", async || {
            world
                .search
                .document(&id)
                .await
                .map(|_| ())
                .ok_or("not yet".to_owned())
        })
        .await;
        follower.stop().await;
        let server = world.shards[0].server_uuid().await;
        let mut saved = world.search.saved_position("orders-0").await.unwrap();
        assert_eq!(saved["server"], json!(server));
        saved["position"] = json!(format!("{server}:1-900000000"));
        let path = format!("/{}/_doc/orders-0", world.settings.search.follower_index);
        world
            .search
            .ask(Method::PUT, &path, Some(saved))
            .await
            .unwrap();
        let failure = world.follow().await.failure().await;
        assert!(failure.contains("is ahead of the server"), "{failure}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_followers_with_one_server_id_the_first_says_so_and_stops() {
    World::run(async |world| {
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
        let search = Search::new(&settings.search, world.shards.len());
        let others = std::mem::replace(&mut world.search, search);
        let second = Following::start(settings).await;
        let failure = first.failure().await;
        assert!(
            failure.contains("another follower or replica uses our server id"),
            "{failure}"
        );
        second.acts().await;
        others.remove(&world.suffix).await;
        world.shards[0].accept(2).await;
        world.agree().await;
        second.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_in_place_of_rows_is_refused() {
    World::run(async |world| {
        world.settings.stores.order_shards.0.truncate(1);
        let follower = world.follow().await;
        follower.ready().await;
        use mysql_async::prelude::Queryable;
        let mut conn = world.shards[0].conn().await;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .await
            .unwrap();
        conn.query_drop("SET SESSION binlog_format = STATEMENT")
            .await
            .unwrap();
        conn.query_drop("UPDATE orders SET version = version + 1 WHERE seq = 0")
            .await
            .unwrap();
        let failure = follower.failure().await;
        assert!(failure.contains("binlog_format is not ROW"), "{failure}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xa_transaction_on_orders_is_refused() {
    World::run(async |world| {
        world.settings.stores.order_shards.0.truncate(1);
        let ids = world.shards[0].accept(1).await;
        let follower = world.follow().await;
        follower.ready().await;
        use mysql_async::prelude::Queryable;
        let mut conn = world.shards[0].conn().await;
        let xid = format!("'{}'", world.suffix);
        conn.query_drop(format!("XA START {xid}")).await.unwrap();
        conn.query_drop("UPDATE orders SET version = version + 1")
            .await
            .unwrap();
        conn.query_drop(format!("XA END {xid}")).await.unwrap();
        conn.query_drop(format!("XA PREPARE {xid}")).await.unwrap();
        let failure = follower.failure().await;
        conn.query_drop(format!("XA ROLLBACK {xid}")).await.unwrap();
        assert!(failure.contains("XA transaction"), "{failure}");
        assert_eq!(world.search.document(&ids[0]).await.unwrap()["_version"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_column_is_named() {
    World::run(async |world| {
        world.settings.stores.order_shards.0.truncate(1);
        let follower = world.follow().await;
        follower.ready().await;
        world.shards[0]
            .execute("ALTER TABLE orders DROP COLUMN captured")
            .await;
        world.shards[0].accept(1).await;
        let failure = follower.failure().await;
        assert!(failure.contains("orders.captured is missing"), "{failure}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_index_is_refused() {
    World::run(async |world| {
        world.settings.stores.order_shards.0.truncate(1);
        let follower = world.follow().await;
        follower.ready().await;
        let path = format!("/{}/_close", world.settings.search.index);
        world.search.ask(Method::POST, &path, None).await.unwrap();
        world.shards[0].accept(1).await;
        let failure = follower.failure().await;
        assert!(failure.contains("Elasticsearch refuses"), "{failure}");
    })
    .await;
}
