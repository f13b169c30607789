//! How fresh search says it is.

use crate::world::{World, eventually};
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
