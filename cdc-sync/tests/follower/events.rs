//! What is published to the topic of events.

use crate::crash::spawn;
use crate::topic::{self, Event, first_told};
use crate::world::{World, eventually};
use domain::OrderId;
use rand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// Runs a test in a world whose followers publish to a topic of their own.
pub async fn with_events(test: impl AsyncFnOnce(&mut World, &str)) {
    World::run(async |world| {
        let name = topic::name(world);
        topic::make(&name).await;
        test(world, &name).await;
        topic::remove(&name).await;
    })
    .await;
}

/// Waits until so many events stand in the topic.
async fn events(name: &str, count: usize) -> BTreeMap<String, Vec<Event>> {
    eventually("the events are published", async || {
        let read = topic::read(name).await;
        let found: usize = read.values().map(Vec::len).sum();
        if found >= count {
            Ok(read)
        } else {
            Err(format!("{found} of {count}"))
        }
    })
    .await
}

/// Waits until the newest version of every order was told of.
async fn until_the_newest_are_told(world: &World, name: &str) {
    eventually("the newest versions are told of", async || {
        let told = topic::read(name).await;
        for shard in &world.shards {
            for (id, version, _) in shard.states().await {
                let events = told.get(&id).ok_or_else(|| id.clone())?;
                let is_told = events.iter().any(|event| event.version() == version);
                is_told.then_some(()).ok_or(id)?;
            }
        }
        Ok(())
    })
    .await;
}

/// Asserts that each version of every order was told of, each after the one before it.
async fn assert_all_told(world: &World, name: &str) {
    let told = topic::read(name).await;
    for shard in &world.shards {
        for (id, version, status) in shard.states().await {
            let events = &told[&id];
            assert_eq!(first_told(events), Vec::from_iter(1..=version), "{id}");
            let newest = events.iter().find(|event| event.version() == version);
            assert_eq!(newest.unwrap().value["status"], status.as_str(), "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_an_event_with_the_order_as_it_then_was() {
    with_events(async |world, name| {
        let follower = world.follow().await;
        follower.ready().await;
        let id = world.shards[1].accept(1).await[0];
        world.agree().await;
        world.shards[1].pay(&[id]).await;
        let told = events(name, 2).await;
        let [accepted, paid] = told[&id.to_string()].as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(accepted.value["status"], "processing");
        assert_eq!(accepted.headers["ce_type"], "holdfast.order.processing");
        world.agree().await;
        let document = world.search.document(&id).await.unwrap();
        assert_eq!(paid.value, document["_source"]);
        let expected = [
            ("ce_id", format!("{id}.2")),
            ("ce_merchant", "shop".to_owned()),
            ("ce_orderversion", "2".to_owned()),
            ("ce_source", "/holdfast/orders".to_owned()),
            ("ce_specversion", "1.0".to_owned()),
            ("ce_subject", id.to_string()),
            ("ce_tenant", "demo".to_owned()),
            (
                "ce_time",
                paid.value["updated_at"].as_str().unwrap().to_owned(),
            ),
            ("ce_type", "holdfast.order.paid".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text));
        assert_eq!(paid.headers, BTreeMap::from(expected));
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_search_never_showed_are_events_too() {
    with_events(async |world, name| {
        world.settings.follower.bulk_linger_ms = 700;
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(30).await;
        for _ in 0..4 {
            world.shards[0].update("version = version + 1", &ids).await;
        }
        world.shards[0].pay(&ids).await;
        events(name, 30 * 6).await;
        assert_all_told(world, name).await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_no_events() {
    with_events(async |world, name| {
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(3).await;
        world.shards[0].lease(&ids).await;
        world.shards[0].pay(&ids).await;
        world.agree().await;
        let told = events(name, 6).await;
        assert!(told.values().all(|events| events.len() == 2), "{told:?}");
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_tells_of_every_order_as_it_is() {
    with_events(async |world, name| {
        let ids = world.shards[0].accept(40).await;
        world.shards[0].pay(&ids[..20]).await;
        let follower = world.follow().await;
        world.agree().await;
        let told = events(name, 40).await;
        for (number, id) in ids.iter().enumerate() {
            let version = if number < 20 { 2 } else { 1 };
            assert_eq!(first_told(&told[&id.to_string()]), [version]);
        }
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_when_the_process_is_killed_under_load() {
    with_events(async |world, name| {
        world.settings.follower.batch_documents_max = 100;
        // What was there before a follower came first is told of once only.
        let follower = world.follow().await;
        follower.ready().await;
        follower.stop().await;
        for round in 0..6 {
            let mut process = spawn(world);
            for _ in 0..4 {
                let ids = world.shards[round % 2].accept(150).await;
                world.shards[round % 2]
                    .update("version = version + 1", &ids)
                    .await;
                world.shards[round % 2].pay(&ids).await;
                tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..200))).await;
            }
            process.kill().unwrap();
            process.wait().unwrap();
        }
        let follower = world.follow().await;
        world.agree().await;
        // The index may have had all of it before the last kill, the topic not yet.
        until_the_newest_are_told(world, name).await;
        follower.stop().await;
        assert_all_told(world, name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_waits_for_kafka_and_nothing_is_forgotten() {
    World::run(async |world| {
        let name = topic::name(world);
        world.settings.events.socket_timeout_ms = 300;
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(5).await;
        follower.complains("Kafka has not acknowledged").await;
        assert_is_searched(world, &ids[0]).await;
        let waiting = world.search.saved_position("orders-0").await.unwrap();
        world.shards[0].pay(&ids).await;
        // Many times as long as it takes to save one that has moved.
        tokio::time::sleep(Duration::from_secs(2)).await;
        follower.abort().await;
        let after = world.search.saved_position("orders-0").await.unwrap();
        assert_eq!(waiting["position"], after["position"]);

        topic::make(&name).await;
        let follower = world.follow().await;
        world.agree().await;
        events(&name, 10).await;
        assert_all_told(world, &name).await;
        follower.ready().await;
        follower.stop().await;
        topic::remove(&name).await;
    })
    .await;
}

async fn assert_is_searched(world: &World, id: &OrderId) {
    eventually("the order is in the index", async || {
        let document = world.search.document(id).await;
        document.map(drop).ok_or("not yet".to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_late_gets_everything() {
    World::run(async |world| {
        let name = topic::name(world);
        world.settings.events.socket_timeout_ms = 300;
        let follower = world.follow().await;
        follower.ready().await;
        world.shards[1].accept(5).await;
        follower.complains("Kafka has not acknowledged").await;
        topic::make(&name).await;
        events(&name, 5).await;
        follower.ready().await;
        follower.stop().await;
        topic::remove(&name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_refuses_is_told_of_later_and_before_what_comes_after_it() {
    with_events(async |world, name| {
        let follower = world.follow().await;
        follower.ready().await;
        // One event fits, not the many of a transaction.
        topic::take_at_most(name, 3000).await;
        let ids = world.shards[0].accept(60).await;
        follower.complains("Message production error").await;
        for few in ids.chunks(2) {
            world.shards[0].pay(few).await;
        }
        let others = world.shards[1].accept(1).await;
        // Many producers die of this, one after the other.
        tokio::time::sleep(Duration::from_secs(3)).await;
        topic::take_at_most(name, 1 << 20).await;
        events(name, 2 * ids.len() + others.len()).await;
        world.agree().await;
        assert_all_told(world, name).await;
        follower.ready().await;
        follower.stop().await;
    })
    .await;
}
