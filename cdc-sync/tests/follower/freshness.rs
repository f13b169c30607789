//! How fresh search says it is.

use crate::world::{World, eventually};
use cdc_sync::status::read;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn as_of_moves_while_followed_and_stays_while_stopped() {
    World::run(async |world| {
        let follower = world.follow().await;
        follower.ready().await;
        let ids = world.shards[0].accept(1).await;
        let committed = server_time(world).await;
        eventually("as_of passes the commit", async || {
            let as_of = world.search.as_of().await;
            if as_of > committed {
                Ok(())
            } else {
                Err(as_of)
            }
        })
        .await;
        // Whoever has seen that as_of finds the order by a search, without any refresh.
        let found = world.search.found().await;
        assert!(
            found.iter().any(|(id, _, _)| *id == ids[0].to_string()),
            "{found:?}"
        );
        follower.stop().await;
        let stopped = world.search.as_of().await;
        world.shards[0].pay(&ids).await;
        let paid = server_time(world).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.search.as_of().await, stopped);
        assert!(stopped < paid);
        let follower = world.follow().await;
        eventually("as_of passes the payment", async || {
            let as_of = world.search.as_of().await;
            if as_of > paid { Ok(()) } else { Err(as_of) }
        })
        .await;
        assert_eq!(world.search.found().await[0].2, "paid");
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_may_wait_ten_minutes_for_company_is_found_after_a_tick_all_the_same() {
    World::run(async |world| {
        world.settings.follower.bulk_linger_ms = 600_000;
        world.settings.follower.freshness_interval_ms = 1_000;
        let follower = world.follow().await;
        follower.ready().await;
        for accepted in 1..=3 {
            world.shards[0].accept(1).await;
            eventually("the order is found", async || {
                let found = world.search.found().await.len();
                (found == accepted).then_some(()).ok_or(found.to_string())
            })
            .await;
        }
        follower.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_far_a_shard_is_also_while_nobody_follows() {
    World::run(async |world| {
        let settings = &world.settings;
        let status = async || {
            let status = read(&settings.stores, &settings.follower, &settings.search);
            status.await.unwrap()
        };
        let follower = world.follow().await;
        follower.ready().await;
        world.shards[0].accept(3).await;
        let committed = server_time(world).await;
        eventually("the status passes the commit", async || {
            let status = status().await;
            let as_of = status.shards[0].as_of;
            let as_of = as_of.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
            match as_of.as_ref() > Some(&committed) && status.documents == 3 {
                true => Ok(()),
                false => Err(format!("{status:?}")),
            }
        })
        .await;
        follower.stop().await;
        let stopped = status().await;
        for _ in 0..5 {
            world.shards[0].accept(1).await;
        }
        let later = status().await;
        assert_eq!(later.shards[0].as_of, stopped.shards[0].as_of);
        let behind = later.shards[0].transactions_behind.unwrap();
        assert!(behind >= 5, "{later:?}");
        assert_eq!((later.documents, later.dead_letters), (3, 0));
        assert_eq!(later.index, settings.search.index);
    })
    .await;
}

async fn server_time(world: &World) -> String {
    use mysql_async::prelude::Queryable;
    let sql = "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')";
    world.shards[0]
        .conn()
        .await
        .query_first(sql)
        .await
        .unwrap()
        .unwrap()
}
