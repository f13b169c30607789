//! One refresh for all streams.

use crate::proxy::{Door, Proxy};
use crate::search::Search;
use crate::world::World;
use cdc_sync::index;
use cdc_sync::refresher::Refresher;
use cdc_sync::search_client::SearchClient;
use futures_util::future::{FutureExt, join_all};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(500);

/// The search index of a world, without any follower.
async fn with_index(test: impl AsyncFnOnce(&World)) {
    World::run(async |world| {
        index::setup(&world.settings.search).await.unwrap();
        test(world).await;
    })
    .await;
}

fn refresher(search: &Search) -> Refresher {
    Refresher::new(search.client().clone(), INTERVAL)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wrote_before_a_refresh_started_is_served_by_it() {
    with_index(async |world| {
        let refresher = refresher(&world.search);
        let before = world.search.refreshes().await;
        let written = Instant::now();
        let all = join_all((0..8).map(|_| refresher.refresh_after(written))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(world.search.refreshes().await, before + 1);
        refresher.refresh_after(written).await.unwrap();
        assert_eq!(world.search.refreshes().await, before + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wrote_while_a_refresh_ran_share_the_next() {
    with_index(async |world| {
        let refresher = refresher(&world.search);
        let before = world.search.refreshes().await;
        let mut first = Box::pin(refresher.refresh_after(Instant::now()));
        assert!((&mut first).now_or_never().is_none(), "it is under way");
        let written = Instant::now();
        let later = join_all((0..8).map(|_| refresher.refresh_after(written)));
        let (first, later) = tokio::join!(first, later);
        first.unwrap();
        assert!(later.iter().all(Result::is_ok), "{later:?}");
        assert_eq!(world.search.refreshes().await, before + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_does_not_refresh_again_at_once() {
    with_index(async |world| {
        let refresher = refresher(&world.search);
        let before = world.search.refreshes().await;
        for _ in 0..100 {
            refresher.refresh_seldom(Instant::now()).await.unwrap();
        }
        let refreshes = world.search.refreshes().await - before;
        assert!((1..50).contains(&refreshes), "{refreshes} refreshes");
        refresher.refresh_after(Instant::now()).await.unwrap();
        assert_eq!(world.search.refreshes().await, before + refreshes + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_failed_serves_nobody() {
    with_index(async |world| {
        let mut settings = world.settings.search.clone();
        let proxy = Proxy::before_search(&mut settings, Door::Shut).await;
        let refresher = Refresher::new(SearchClient::new(&settings).unwrap(), INTERVAL);
        let before = world.search.refreshes().await;
        let written = Instant::now();
        let failed = refresher.refresh_after(written).await.unwrap_err();
        assert!(failed.is_transient(), "{failed}");
        proxy.set(Door::Open);
        refresher.refresh_after(written).await.unwrap();
        assert_eq!(world.search.refreshes().await, before + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_wait_for_those_that_come_to_the_same_tick() {
    with_index(async |world| {
        let refresher = refresher(&world.search);
        let seats = ["orders-0", "orders-1", "orders-2"].map(|label| refresher.seat(label));
        let [first, second, third] = seats;
        let tick = refresher.next_tick() + 100 * INTERVAL;
        first.comes_to(tick);
        second.comes_to(tick);
        third.comes_to(tick + INTERVAL);
        let mut waiting = Box::pin(first.ready_with_all(tick));
        assert!((&mut waiting).now_or_never().is_none(), "one still writes");
        second.ready_with_all(tick).await;
        assert!((&mut waiting).now_or_never().is_some(), "both have written");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_stream_that_is_gone() {
    with_index(async |world| {
        let refresher = refresher(&world.search);
        let (first, second) = (refresher.seat("orders-0"), refresher.seat("orders-1"));
        let tick = refresher.next_tick() + 100 * INTERVAL;
        second.comes_to(tick);
        let mut waiting = Box::pin(first.ready_with_all(tick));
        assert!((&mut waiting).now_or_never().is_none(), "one still writes");
        drop(second);
        assert!((&mut waiting).now_or_never().is_some(), "it is gone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_hangs_puts_a_refresh_off_by_half_an_interval() {
    with_index(async |world| {
        let refresher = refresher(&world.search);
        let (first, hangs) = (refresher.seat("orders-0"), refresher.seat("orders-1"));
        let tick = refresher.next_tick();
        hangs.comes_to(tick);
        let waited = tokio::time::timeout(120 * INTERVAL, first.ready_with_all(tick)).await;
        assert!(waited.is_ok(), "it waits for ever");
        assert!(Instant::now() >= tick + INTERVAL / 2, "it has not waited");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_streams_under_a_trickle_refresh_once_an_interval() {
    World::run(async |world| {
        world.settings.follower.freshness_interval_ms = 500;
        let follower = world.follow().await;
        follower.ready().await;
        world.agree().await;
        let (began, before) = (Instant::now(), world.search.refreshes().await);
        while began.elapsed() < 12 * INTERVAL {
            for shard in &world.shards {
                shard.accept(1).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let refreshes = world.search.refreshes().await - before;
        let intervals = began.elapsed().as_secs_f64() / INTERVAL.as_secs_f64();
        let each = refreshes as f64 / intervals;
        assert!(
            (0.5..1.5).contains(&each),
            "{refreshes} refreshes in {intervals} intervals"
        );
        world.agree().await;
        follower.stop().await;
    })
    .await;
}
