//! An index is made anew beside the one in use, and searches do not notice.

use crate::world::{World, eventually};
use cdc_sync::index::beside_alias;
use cdc_sync::rebuild::record::{Phase, Rebuild, load};
use cdc_sync::rebuild::request;
use rand::Rng;
use reqwest::Method;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

impl World {
    async fn rebuild(&self) -> Rebuild {
        let found = load(self.search.client()).await.unwrap();
        found.expect("a rebuild").document
    }

    async fn reaches(&self, phase: Phase) -> Rebuild {
        eventually(&format!("the rebuild is {phase:?}"), async || {
            let rebuild = self.rebuild().await;
            match rebuild.phase == phase {
                true => Ok(rebuild),
                false => Err(format!("{rebuild:?}")),
            }
        })
        .await
    }

    /// The index that the alias names.
    async fn index(&self) -> String {
        let path = format!("/_alias/{}", self.settings.search.alias);
        let answer = self.search.ask(Method::GET, &path, None).await.unwrap();
        let names: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 1, "{answer}");
        names[0].clone()
    }

    /// Documents in an index, of this name or alias.
    async fn count(&self, index: &str) -> Option<u64> {
        let path = format!("/{index}/_refresh");
        self.search.ask(Method::POST, &path, None).await;
        let path = format!("/{index}/_count");
        let answer = self.search.ask(Method::GET, &path, None).await?;
        answer["count"].as_u64()
    }

    fn new_index(&self) -> String {
        format!("{}-orders-v2", self.suffix)
    }

    fn beside(&self) -> String {
        beside_alias(&self.settings.search)
    }
}

/// Accepts orders and pays them until it is stopped.
async fn work(world: &World, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        for shard in &world.shards {
            let ids = shard.accept(20).await;
            shard.pay(&ids).await;
        }
    }
}

/// Searches until it is stopped: what was found once is found always, and only once.
async fn search(world: &World, stop: &CancellationToken) {
    let mut known: HashSet<String> = HashSet::new();
    let mut searches = 0;
    while !stop.is_cancelled() {
        let found = world.search.found().await;
        let ids: HashSet<String> = found.iter().map(|(id, ..)| id.clone()).collect();
        assert_eq!(ids.len(), found.len(), "an order is found twice");
        let lost = known.difference(&ids).count();
        assert_eq!(lost, 0, "orders are not found any more");
        known = ids;
        searches += 1;
    }
    assert!(searches > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_load_leaves_no_gap_and_no_double() {
    World::run(async |world| {
        world.shards[0].accept(3_000).await;
        world.settings.follower.snapshot_rows_max = 200;
        let follower = world.follow().await;
        follower.acts().await;
        let stop = CancellationToken::new();
        let rebuilt = async {
            request::rebuild(world.search.client(), false)
                .await
                .unwrap();
            let rebuild = world.reaches(Phase::Switched).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.cancel();
            rebuild
        };
        let (rebuild, (), ()) = tokio::join!(rebuilt, work(world, &stop), search(world, &stop));
        assert_eq!(world.index().await, world.new_index());
        assert!(rebuild.rows >= 3_000, "{rebuild:?}");
        world.agree().await;
        // The old one is kept and gets every change.
        let id = world.shards[1].accept(1).await[0];
        world.shards[1].pay(&[id]).await;
        eventually("the old index has it too", async || {
            let path = format!("/{}/_doc/{id}", world.beside());
            let found = world.search.ask(Method::GET, &path, None).await;
            let version = found.unwrap_or_default()["_version"].as_u64();
            let (old, new) = (
                world.count(&world.beside()).await,
                world.count(&world.new_index()).await,
            );
            match version == Some(2) && old == new {
                true => Ok(()),
                false => Err(format!("{version:?}, {old:?} {new:?}")),
            }
        })
        .await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on_after_any_number_of_kills() {
    World::run(async |world| {
        world.settings.follower.snapshot_rows_max = 50;
        for shard in &world.shards {
            shard.accept(2_000).await;
        }
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        request::rebuild(world.search.client(), false)
            .await
            .unwrap();
        let mut follower = follower;
        let until = Instant::now() + Duration::from_secs(120);
        while world.rebuild().await.phase != Phase::Switched {
            let rebuild = world.rebuild().await;
            assert_ne!(rebuild.phase, Phase::Differs, "{rebuild:?}");
            assert!(Instant::now() < until, "{rebuild:?}");
            let ids = world.shards[0].accept(20).await;
            let ms = rand::rng().random_range(100..1_500);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            follower.abort().await;
            world.shards[0].pay(&ids).await;
            follower = world.follow().await;
            follower.acts().await;
        }
        assert_eq!(world.index().await, world.new_index());
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_differs_is_taken_only_when_that_is_accepted() {
    World::run(async |world| {
        let ids = world.shards[0].accept(10).await;
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        // What is wrong in the old index: one document is missing.
        let path = format!("/{}/_doc/{}", world.settings.search.alias, ids[0]);
        world.search.ask(Method::DELETE, &path, None).await.unwrap();
        request::rebuild(world.search.client(), false)
            .await
            .unwrap();
        let rebuild = world.reaches(Phase::Differs).await;
        assert_eq!(rebuild.differences.len(), 1, "{rebuild:?}");
        let said = &rebuild.differences[0];
        assert!(
            said.contains("9 orders") && said.contains("10 orders"),
            "{said}"
        );
        assert!(world.index().await.ends_with("-v1"));
        request::rebuild(world.search.client(), true).await.unwrap();
        world.reaches(Phase::Switched).await;
        assert_eq!(world.index().await, world.new_index());
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alias_goes_back_and_forth_while_orders_go_on() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.acts().await;
        let stop = CancellationToken::new();
        let client = world.search.client();
        let switched = async {
            request::rebuild(client, false).await.unwrap();
            world.reaches(Phase::Switched).await;
            let mut indices = vec![world.index().await];
            for _ in 0..2 {
                request::switch_back(client).await.unwrap();
                world.reaches(Phase::Switched).await;
                indices.push(world.index().await);
            }
            stop.cancel();
            indices
        };
        let (indices, (), ()) = tokio::join!(switched, work(world, &stop), search(world, &stop));
        let old = world.settings.search.index.clone();
        assert_eq!(indices, [world.new_index(), old, world.new_index()]);
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_index_is_gone_and_the_next_rebuild_begins() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.acts().await;
        let client = world.search.client();
        assert!(request::discard(client).await.is_err());
        assert!(request::switch_back(client).await.is_err());
        request::rebuild(client, false).await.unwrap();
        world.reaches(Phase::Switched).await;
        assert!(request::rebuild(client, false).await.is_err());
        request::discard(client).await.unwrap();
        world.reaches(Phase::Done).await;
        assert_eq!(world.count(&world.settings.search.index).await, None);
        assert_eq!(world.count(&world.beside()).await, None);
        world.shards[0].accept(5).await;
        world.agree().await;
        let next = request::rebuild(client, false).await.unwrap();
        assert!(next.to.ends_with("-v3"), "{next:?}");
        world.reaches(Phase::Switched).await;
        request::switch_back(client).await.unwrap();
        world.reaches(Phase::Switched).await;
        request::discard(client).await.unwrap();
        world.reaches(Phase::Done).await;
        assert_eq!(world.index().await, world.new_index());
        // The position is of the index in use, however many there were before it.
        let status = eventually("the positions are of one index", async || {
            let saved = world.search.saved_position("orders-0").await;
            let uuids = saved.unwrap_or_default()["index_uuid"].clone();
            let uuids = uuids.as_str().unwrap_or_default().to_owned();
            match uuids.contains(',') {
                false => Ok(uuids),
                true => Err(uuids),
            }
        });
        let uuid = status.await;
        let path = format!("/{}/_settings", world.new_index());
        let settings = world.search.ask(Method::GET, &path, None).await.unwrap();
        let used = &settings[world.new_index()]["settings"]["index"]["uuid"];
        assert_eq!(used.as_str(), Some(uuid.as_str()));
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_beside_that_is_lost_is_given_up_and_the_one_in_use_goes_on() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.acts().await;
        let client = world.search.client();
        request::rebuild(client, false).await.unwrap();
        world.reaches(Phase::Switched).await;
        let old = format!("/{}", world.settings.search.index);
        world.search.ask(Method::DELETE, &old, None).await.unwrap();
        world.shards[0].accept(5).await;
        world.agree().await;
        let given_up = world.reaches(Phase::Done).await;
        assert!(given_up.failure.is_some(), "{given_up:?}");
        // And there may be another.
        request::rebuild(client, false).await.unwrap();
        world.reaches(Phase::Switched).await;
        world.agree().await;
        request::switch_back(client).await.unwrap();
        world.reaches(Phase::Switched).await;
        request::discard(client).await.unwrap();
        world.reaches(Phase::Done).await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_in_the_new_index_without_a_snapshot() {
    World::run(async |world| {
        let ids = world.shards[0].accept(3).await;
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        request::rebuild(world.search.client(), false)
            .await
            .unwrap();
        world.reaches(Phase::Switched).await;
        // The position is saved for both indices.
        world.shards[0].accept(1).await;
        world.shards[1].accept(1).await;
        world.agree().await;
        eventually("both positions are of two indices", async || {
            for shard in ["orders-0", "orders-1"] {
                let saved = world.search.saved_position(shard).await.unwrap_or_default();
                if !saved["index_uuid"]
                    .as_str()
                    .unwrap_or_default()
                    .contains(',')
                {
                    return Err(saved.to_string());
                }
            }
            Ok(())
        })
        .await;
        follower.stop().await;
        let before = world.search.seq_no(&ids[0]).await;
        let follower = world.follow().await;
        follower.acts().await;
        let later = world.shards[0].accept(1).await[0];
        eventually("it follows", async || {
            let found = world.search.document(&later).await;
            found.map(|_| ()).ok_or("not yet".to_owned())
        })
        .await;
        // A snapshot would have written it again.
        assert_eq!(world.search.seq_no(&ids[0]).await, before);
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_given_up_in_the_middle_of_its_filling() {
    World::run(async |world| {
        world.settings.follower.snapshot_rows_max = 10;
        world.settings.follower.snapshot_rows_per_second_max = 100;
        world.shards[0].accept(1_000).await;
        let follower = world.follow().await;
        follower.acts().await;
        request::rebuild(world.search.client(), false)
            .await
            .unwrap();
        world.reaches(Phase::Filling).await;
        request::discard(world.search.client()).await.unwrap();
        world.reaches(Phase::Done).await;
        assert_eq!(world.count(&world.new_index()).await, None);
        world.shards[1].accept(5).await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}
