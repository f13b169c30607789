//! Orders are copied again: from where a first snapshot was when it was killed, and because an operator
//! asks for it.

use crate::world::{World, eventually};
use cdc_sync::index::ensure_indices;
use cdc_sync::search_client::SearchClient;
use cdc_sync::snapshot::checkpoint::{self, Checkpoint};
use cdc_sync::snapshot::record::{Phase, Snapshot, Wanted, load};
use cdc_sync::snapshot::request::{self, Asked};
use domain::OrderId;
use reqwest::Method;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl World {
    fn wanted(&self, shard: Option<usize>, created: Option<&str>) -> Wanted {
        let shards = match shard {
            Some(index) => index..index + 1,
            None => 0..self.shards.len(),
        };
        Wanted {
            shards: shards.map(|index| format!("orders-{index}")).collect(),
            created: created.map(|text| text.parse().unwrap()),
        }
    }

    async fn ask_for(&self, wanted: &Wanted) -> Asked {
        request::snapshot(self.search.client(), wanted)
            .await
            .unwrap()
    }

    async fn asked_snapshot(&self) -> Snapshot {
        let found = load(self.search.client()).await.unwrap();
        found.expect("a snapshot").document
    }

    async fn snapshot_is(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        eventually(what, async || {
            let snapshot = self.asked_snapshot().await;
            match is_so(&snapshot) {
                true => Ok(snapshot),
                false => Err(format!("{snapshot:?}")),
            }
        })
        .await
    }

    async fn snapshot_is_done(&self) -> Snapshot {
        self.snapshot_is("the snapshot is done", |it| it.phase == Phase::Done)
            .await
    }

    async fn checkpoint(&self) -> Option<Checkpoint> {
        let shards = ["orders-0".to_owned()];
        let found = checkpoint::load(self.search.client(), &shards).await.ok()?;
        found.map(|found| found.document)
    }

    /// Waits until a first snapshot has so many rows written down.
    async fn checkpoint_has(&self, rows: u64) -> Checkpoint {
        eventually("the first snapshot goes on", async || {
            let found = self.checkpoint().await;
            let found = found.ok_or("nothing is written down".to_owned())?;
            match found.progress.rows >= rows {
                true => Ok(found),
                false => Err(found.progress.to_string()),
            }
        })
        .await
    }

    /// Removes a document as somebody who should not have, so that the index forgets it at once.
    async fn lose(&self, ids: &[OrderId]) {
        let names = &self.settings.search;
        let path = format!("/{}/_settings", names.index);
        let forget = json!({ "index.gc_deletes": "0s" });
        let set = self.search.ask(Method::PUT, &path, Some(forget)).await;
        set.unwrap();
        for id in ids {
            let path = format!("/{}/_doc/{id}", names.alias);
            self.search.ask(Method::DELETE, &path, None).await.unwrap();
        }
        // A deleted version is forgotten at a refresh after its time, by a clock that ticks slowly.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let path = format!("/{}/_refresh", names.alias);
        self.search.ask(Method::POST, &path, None).await.unwrap();
    }

    /// Which write each of these documents is.
    async fn writes(&self, ids: &[OrderId]) -> Vec<i64> {
        let mut writes = Vec::new();
        for id in ids {
            writes.push(self.search.seq_no(id).await);
        }
        writes
    }

    async fn made_at(&self, shard: usize, ids: &[OrderId], time: &str) {
        let set = format!("created_at = '{time}', version = version + 1");
        self.shards[shard].update(&set, ids).await;
    }

    /// Slow enough to be met in the middle.
    fn pace(&mut self, rows_per_second: u64) {
        self.settings.follower.snapshot_rows_max = 20;
        self.settings.follower.snapshot_rows_per_second_max = rows_per_second;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_asked_for_mends_what_was_lost_in_its_shard_alone() {
    World::run(async |world| {
        let own = world.shards[0].accept(5).await;
        let others = world.shards[1].accept(5).await;
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        world.lose(&own[..2]).await;
        world.lose(&others[..1]).await;
        let before = world.writes(&others[1..]).await;
        world.ask_for(&world.wanted(Some(0), None)).await;
        let snapshot = world.snapshot_is_done().await;
        assert_eq!((snapshot.progress.seen, snapshot.progress.rows), (5, 5));
        // Who is told that it is done finds what was written.
        let found = world.search.found().await;
        assert!(
            own.iter()
                .all(|id| found.iter().any(|it| it.0 == id.to_string()))
        );
        assert!(world.search.document(&others[0]).await.is_none());
        assert_eq!(world.writes(&others[1..]).await, before);
        world.ask_for(&world.wanted(None, None)).await;
        world.snapshot_is_done().await;
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_orders_made_in_the_asked_time_are_written_again() {
    World::run(async |world| {
        let ids = world.shards[0].accept(50).await;
        world.settings.follower.snapshot_rows_max = 7;
        world
            .made_at(0, &ids[..10], "2026-10-31 23:59:59.999999")
            .await;
        world.made_at(0, &ids[10..30], "2026-11-01 00:00:00").await;
        world.made_at(0, &ids[30..], "2026-11-02 00:00:00").await;
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        let before = world.writes(&ids).await;
        let wanted = world.wanted(None, Some("2026-11-01..2026-11-02"));
        world.ask_for(&wanted).await;
        let snapshot = world.snapshot_is_done().await;
        assert_eq!((snapshot.progress.seen, snapshot.progress.rows), (50, 20));
        let after = world.writes(&ids).await;
        assert_eq!((&before[..10], &before[30..]), (&after[..10], &after[30..]));
        assert!(
            (10..30).all(|n| before[n] < after[n]),
            "{before:?} {after:?}"
        );
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_asked_for_goes_on_where_it_was_after_a_kill() {
    World::run(async |world| {
        let ids = world.shards[0].accept(400).await;
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        follower.stop().await;
        let untouched = world.writes(&ids[..20]).await;
        world.pace(100);
        world.ask_for(&world.wanted(None, None)).await;
        let follower = world.follow().await;
        let so_far = |it: &Snapshot| it.progress.rows >= 100;
        world.snapshot_is("it is in the middle", so_far).await;
        follower.abort().await;
        let written_once = world.writes(&ids[..20]).await;
        assert!(
            untouched
                .iter()
                .zip(&written_once)
                .all(|(old, new)| old < new)
        );
        let killed = world.asked_snapshot().await;
        assert_eq!(killed.phase, Phase::Copying, "{killed:?}");
        let follower = world.follow().await;
        let done = world.snapshot_is_done().await;
        assert_eq!(done.progress.rows, 400, "{done:?}");
        assert_eq!(
            world.writes(&ids[..20]).await,
            written_once,
            "the first rows were read again"
        );
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_snapshots_at_once_one_is_done_and_the_same_is_joined() {
    World::run(async |world| {
        ensure_indices(world.search.client()).await.unwrap();
        let client = world.search.client();
        let (one, other) = (world.wanted(Some(0), None), world.wanted(Some(1), None));
        let (first, second) = tokio::join!(
            request::snapshot(client, &one),
            request::snapshot(client, &other),
        );
        let refused = match (&first, &second) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused.to_string(),
            both => panic!("{both:?}"),
        };
        assert!(refused.contains("another snapshot goes on"), "{refused}");
        let begun = first.or(second).unwrap();
        let joined = world.ask_for(&begun.snapshot().wanted).await;
        assert!(matches!(&joined, Asked::Joined(it) if it.number == begun.snapshot().number));
        let follower = world.follow().await;
        world.snapshot_is_done().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_snapshot_stops_and_another_may_follow() {
    World::run(async |world| {
        let ids = world.shards[0].accept(400).await;
        let follower = world.follow().await;
        follower.acts().await;
        world.agree().await;
        follower.stop().await;
        let before = world.writes(&ids[380..]).await;
        world.pace(100);
        let follower = world.follow().await;
        follower.acts().await;
        let asked = world.ask_for(&world.wanted(Some(0), None)).await;
        let so_far = |it: &Snapshot| it.progress.rows > 0;
        world.snapshot_is("it goes on", so_far).await;
        request::cancel(world.search.client()).await.unwrap();
        assert!(request::cancel(world.search.client()).await.is_err());
        // As long as all of it would take.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let snapshot = world.asked_snapshot().await;
        assert_eq!(snapshot.phase, Phase::Cancelled, "{snapshot:?}");
        assert_eq!(world.writes(&ids[380..]).await, before);
        let next = world.ask_for(&world.wanted(Some(1), None)).await;
        assert_ne!(next.snapshot().number, asked.snapshot().number);
        world.snapshot_is_done().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_never_goes_back_while_orders_are_written_again() {
    World::run(async |world| {
        world.settings.follower.snapshot_rows_max = 100;
        world.shards[0].accept(500).await;
        let follower = world.follow().await;
        follower.acts().await;
        let stop = CancellationToken::new();
        let work = async {
            while !stop.is_cancelled() {
                let ids = world.shards[0].accept(20).await;
                world.shards[0].pay(&ids).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let watch = async {
            let mut newest: HashMap<String, u64> = HashMap::new();
            while !stop.is_cancelled() {
                for (id, version, _) in world.search.found().await {
                    let known = newest.entry(id).or_default();
                    assert!(*known <= version, "version {version} after {known}");
                    *known = version;
                }
            }
            newest.len()
        };
        let ask = async {
            for _ in 0..3 {
                world.ask_for(&world.wanted(None, None)).await;
                world.snapshot_is_done().await;
            }
            stop.cancel();
        };
        let ((), seen, ()) = tokio::join!(work, watch, ask);
        assert!(seen > 500);
        world.agree().await;
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_holds_up_no_other() {
    World::run(async |world| {
        let client = SearchClient::new(&world.settings.search).unwrap();
        ensure_indices(&client).await.unwrap();
        world.shards[1].accept(3).await;
        let good = world.settings.stores.order_shards.clone();
        world.settings.stores.order_shards.0[0] = "mysql://nobody@127.0.0.1:1/orders_0".into();
        world.settings.follower.connect_timeout_ms = 300;
        world.ask_for(&world.wanted(None, None)).await;
        let follower = world.follow().await;
        let is_held_up = |it: &Snapshot| {
            let trouble = it.trouble.as_deref().unwrap_or_default();
            it.progress.is_done("orders-1") && trouble.starts_with("orders-0: ")
        };
        let held_up = world
            .snapshot_is("one is done, one is away", is_held_up)
            .await;
        assert_eq!((held_up.phase, held_up.progress.rows), (Phase::Copying, 3));
        follower.stop().await;
        world.settings.stores.order_shards = good;
        let follower = world.follow().await;
        let done = world.snapshot_is_done().await;
        assert_eq!(done.trouble, None);
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_snapshot_goes_on_where_it_was_and_loses_nothing_that_changed_meanwhile() {
    World::run(async |world| {
        world.pace(100);
        let ids = world.shards[0].accept(400).await;
        let follower = world.follow().await;
        let begun = world.checkpoint_has(60).await;
        follower.complains("of about 400 rows").await;
        follower.abort().await;
        let written_once = world.writes(&ids[..20]).await;
        // Rows that are copied already, rows that are not, and new ones.
        world.shards[0].pay(&ids[20..40]).await;
        world.shards[0].pay(&ids[390..]).await;
        world.shards[0].accept(30).await;
        let follower = world.follow().await;
        let later = world.checkpoint_has(begun.progress.rows + 40).await;
        assert_eq!(later.watermark, begun.watermark);
        assert_eq!(later.progress.last, begun.progress.last);
        world.agree().await;
        assert_eq!(
            world.writes(&ids[..20]).await,
            written_once,
            "the first rows were copied again"
        );
        follower.ready().await;
        eventually("what is done is not written down any more", async || {
            let found = world.checkpoint().await;
            found.map_or(Ok(()), |found| Err(format!("{found:?}")))
        })
        .await;
        follower.stop().await;
    })
    .await;
}

/// To be run on a server of the test's own. What changed since the snapshot began would be lost to it.
pub async fn a_first_snapshot_whose_binlogs_are_purged_begins_anew(world: &mut World) {
    world.pace(100);
    let ids = world.shards[0].accept(300).await;
    let follower = world.follow().await;
    let begun = world.checkpoint_has(60).await;
    follower.abort().await;
    let written = world.writes(&ids[..20]).await;
    world.shards[0].pay(&ids[..10]).await;
    world.shards[0].purge_binlogs().await;
    let follower = world.follow().await;
    eventually("another one is begun", async || {
        let found = world.checkpoint().await;
        let found = found.ok_or("nothing is written down".to_owned())?;
        match found.watermark != begun.watermark && found.progress.rows > 0 {
            true => Ok(()),
            false => Err(format!("{found:?}")),
        }
    })
    .await;
    world.agree().await;
    let written_again = world.writes(&ids[..20]).await;
    assert!(
        written
            .iter()
            .zip(&written_again)
            .all(|(old, new)| old < new)
    );
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_snapshot_of_another_index_begins_anew() {
    World::run(async |world| {
        world.pace(100);
        let ids = world.shards[0].accept(200).await;
        let follower = world.follow().await;
        world.checkpoint_has(60).await;
        follower.abort().await;
        let path = format!("/{}", world.settings.search.index);
        world.search.ask(Method::DELETE, &path, None).await.unwrap();
        world.settings.follower.snapshot_rows_per_second_max = 0;
        let follower = world.follow().await;
        world.agree().await;
        assert!(world.search.document(&ids[0]).await.is_some());
        follower.stop().await;
    })
    .await;
}
