//! Kills, lost connections, and Elasticsearch away.

use crate::proxy::{Door, Proxy};
use crate::world::{Following, World, eventually};
use rand::Rng;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_ended_in_the_middle_of_a_bulk_loses_nothing() {
    World::run(async |world| {
        world.settings.follower.batch_documents_max = 50;
        world.settings.follower.bulk_linger_ms = 1;
        for round in 0..6 {
            let follower = world.follow().await;
            follower.acts().await;
            let ids = world.shards[round % 2].accept(400).await;
            tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..120))).await;
            follower.abort().await;
            world.shards[round % 2].pay(&ids).await;
        }
        let follower = world.follow().await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_under_load_goes_on_where_it_was() {
    World::run(async |world| {
        for round in 0..4 {
            let mut process = spawn(world);
            for _ in 0..4 {
                let ids = world.shards[round % 2].accept(200).await;
                world.shards[round % 2].pay(&ids).await;
                tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..150))).await;
            }
            process.kill().unwrap();
            process.wait().unwrap();
        }
        let mut process = spawn(world);
        world.agree().await;
        process.kill().unwrap();
        process.wait().unwrap();
    })
    .await;
}

/// The real binary with this world's settings.
pub fn spawn(world: &World) -> Child {
    let settings = &world.settings;
    Command::new(env!("CARGO_BIN_EXE_cdc-sync"))
        .env(
            "HOLDFAST__STORES__ORDER_SHARDS",
            settings.stores.order_shards.0.join(","),
        )
        .env(
            "HOLDFAST__STORES__ACCOUNT_SHARDS",
            "mysql://passed@127.0.0.1:1/on_to_all",
        )
        .env("HOLDFAST__SEARCH__URL", &settings.search.url)
        .env("HOLDFAST__SEARCH__ALIAS", &settings.search.alias)
        .env("HOLDFAST__SEARCH__INDEX", &settings.search.index)
        .env(
            "HOLDFAST__SEARCH__FOLLOWER_INDEX",
            &settings.search.follower_index,
        )
        .env(
            "HOLDFAST__FOLLOWER__SERVER_ID_BASE",
            settings.follower.server_id_base.to_string(),
        )
        .env("HOLDFAST__KAFKA__BROKERS", &settings.kafka.brokers)
        .env(
            "HOLDFAST__KAFKA__EVENTS_TOPIC",
            &settings.kafka.events_topic,
        )
        .env(
            "HOLDFAST__EVENTS__PUBLISH",
            settings.events.publish.to_string(),
        )
        .env(
            "HOLDFAST__FOLLOWER__LEASE_MS",
            settings.follower.lease_ms.to_string(),
        )
        .env("HOLDFAST__ADMIN__LISTEN", "127.0.0.1:0")
        .env(
            "HOLDFAST__LOG__FILTER",
            std::env::var("RUST_LOG").unwrap_or("off".into()),
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_given_up_and_opened_again() {
    World::run(async |world| {
        world.settings.follower.heartbeat_ms = 200;
        world.settings.follower.connect_timeout_ms = 500;
        world.settings.follower.answer_timeout_ms = 1000;
        let url = world.settings.stores.order_shards.0[0].clone();
        let (user, rest) = url.split_once('@').unwrap();
        let (address, schema) = rest.split_once('/').unwrap();
        let proxy = Proxy::before(address, Door::Open).await;
        world.settings.stores.order_shards.0[0] = format!("{user}@{}/{schema}", proxy.address);
        let follower = world.follow().await;
        follower.ready().await;
        proxy.set(Door::Silent);
        follower.complains("orders-0").await;
        let on_the_other = world.shards[1].accept(1).await[0];
        eventually("the other server flows", async || {
            world
                .search
                .document(&on_the_other)
                .await
                .map(|_| ())
                .ok_or("not yet".to_owned())
        })
        .await;
        world.shards[0].accept(5).await;
        proxy.set(Door::Open);
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_batch_is_written_is_folded_until_the_next_is_asked_for() {
    World::run(async |world| {
        let mut settings = world.settings.clone();
        let proxy = Proxy::before_search(&mut settings.search, Door::Open).await;
        let linger = Duration::from_millis(settings.follower.bulk_linger_ms);
        let follower = Following::start(settings).await;
        follower.ready().await;
        world.agree().await;
        let shard = &world.shards[0];
        proxy.set(Door::Shut);
        let first = shard.accept(1).await[0];
        follower.complains("search").await;
        let id = shard.accept(1).await[0];
        tokio::time::sleep(3 * linger).await;
        shard.pay(&[id]).await;
        tokio::time::sleep(3 * linger).await;
        proxy.set(Door::Open);
        world.agree().await;
        let (before, after) = (
            world.search.seq_no(&first).await,
            world.search.seq_no(&id).await,
        );
        assert_eq!(after, before + 1, "both versions of the order were written");
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_elasticsearch_the_follower_waits_and_then_catches_up() {
    World::run(async |world| {
        let mut settings = world.settings.clone();
        let proxy = Proxy::before_search(&mut settings.search, Door::Shut).await;
        let early = world.shards[0].accept(3).await;
        let follower = Following::start(settings).await;
        follower.complains("search").await;
        proxy.set(Door::Open);
        follower.ready().await;
        world.agree().await;
        proxy.set(Door::Shut);
        for _ in 0..10 {
            let ids = world.shards[1].accept(300).await;
            world.shards[1].pay(&ids).await;
        }
        world.shards[0].pay(&early).await;
        follower.complains("search").await;
        proxy.set(Door::Open);
        world.agree().await;
        follower.ready().await;
        follower.stop().await;
    })
    .await;
}
