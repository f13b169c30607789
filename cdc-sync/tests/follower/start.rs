//! Where a follower begins: resume, snapshot, or not at all.

use crate::world::{World, eventually};
use cdc_sync::position::NEVER;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_position_is_resumed_without_a_snapshot() {
    World::run(async |world| {
        let old = world.shards[0].accept(2).await;
        let follower = world.follow().await;
        follower.ready().await;
        world.agree().await;
        follower.stop().await;
        let before = world.search.seq_no(&old[0]).await;
        world.shards[0].accept(2).await;
        let follower = world.follow().await;
        world.agree().await;
        assert_eq!(
            world.search.seq_no(&old[0]).await,
            before,
            "the old order was written again"
        );
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_took_over_goes_on_at_its_predecessors_position() {
    World::run(async |world| {
        let old = world.shards[0].accept(2).await;
        let follower = world.follow().await;
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
        let before = world.search.seq_no(&old[0]).await;
        let mut saved = world.search.saved_position("orders-0").await.unwrap();
        saved["server"] = json!("3e11fa47-71ca-11e1-9e33-c80aa9429562");
        let path = format!("/{}/_doc/orders-0", world.settings.search.follower_index);
        let put = world.search.ask(Method::PUT, &path, Some(saved)).await;
        put.unwrap();
        world.shards[0].accept(2).await;
        let follower = world.follow().await;
        world.agree().await;
        follower.stop().await;
        assert_eq!(world.search.seq_no(&old[0]).await, before);
        let saved = world.search.saved_position("orders-0").await.unwrap();
        assert_eq!(saved["server"], world.shards[0].server_uuid().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_index_than_the_positions_means_a_snapshot() {
    World::run(async |world| {
        world.shards[0].accept(2).await;
        let follower = world.follow().await;
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
        let path = format!("/{}", world.settings.search.index);
        world.search.ask(Method::DELETE, &path, None).await.unwrap();
        let follower = world.follow().await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_position_means_a_snapshot() {
    World::run(async |world| {
        world.shards[1].accept(2).await;
        let follower = world.follow().await;
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
        for index in [
            &world.settings.search.index,
            &world.settings.search.follower_index,
        ] {
            world
                .search
                .ask(Method::DELETE, &format!("/{index}"), None)
                .await
                .unwrap();
        }
        let follower = world.follow().await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_on_over_many_chunks_while_orders_change() {
    World::run(async |world| {
        world.settings.follower.snapshot_rows_max = 50;
        let ids = world.shards[0].accept(1000).await;
        let follower = world.follow().await;
        for chunk in ids.chunks(100) {
            world.shards[0].pay(chunk).await;
            world.shards[0].accept(20).await;
        }
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_was_never_reached_is_as_old_as_time() {
    World::run(async |world| {
        let good = world.settings.stores.order_shards.clone();
        world.settings.stores.order_shards.0[1] = "mysql://nobody@127.0.0.1:1/orders_1".into();
        world.settings.follower.connect_timeout_ms = 500;
        let follower = world.follow().await;
        let first = world.shards[0].accept(1).await[0];
        eventually("the other server flows", async || {
            world
                .search
                .document(&first)
                .await
                .map(|_| ())
                .ok_or("not yet".to_owned())
        })
        .await;
        follower.complains("orders-1").await;
        assert_eq!(world.search.as_of().await, NEVER);
        follower.stop().await;
        world.settings.stores.order_shards = good;
        let follower = world.follow().await;
        eventually("as_of speaks for both", async || {
            let as_of = world.search.as_of().await;
            if as_of.as_str() > NEVER {
                Ok(())
            } else {
                Err(as_of)
            }
        })
        .await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shards_on_one_server_share_a_stream_and_are_split_by_schema() {
    World::run(async |world| {
        let url = world.shards[0].url.clone();
        let schema = format!("cdc_{}_2", world.suffix);
        world
            .shards
            .push(crate::orders::Shard::make(&url, 2, &schema).await);
        world
            .settings
            .stores
            .order_shards
            .0
            .push(world.shards[2].url.clone());
        let ids = world.shards[2].accept(3).await;
        let follower = world.follow().await;
        follower.ready().await;
        world.shards[0].accept(2).await;
        world.shards[2].pay(&ids).await;
        world.agree().await;
        let document = world.search.document(&ids[0]).await.unwrap();
        assert_eq!(document["_source"]["shard"], "orders-2");
        follower.stop().await;
        let saved = world.search.saved_position("orders-0").await.unwrap();
        assert_eq!(saved["shards"], json!(["orders-0", "orders-2"]));
        let of_the_other = world.search.saved_position("orders-2").await;
        assert_eq!(of_the_other.unwrap(), saved);
    })
    .await;
}
