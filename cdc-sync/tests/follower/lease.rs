//! Of several followers of one index one acts, and another takes over.

use crate::crash::spawn;
use crate::world::{World, eventually};
use cdc_sync::index::ensure_indices;
use cdc_sync::lease::{Attempt, Lease, Renewal};
use cdc_sync::search_client::SearchClient;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_millis(600);

/// Two hands on the lease of an index that nobody follows.
async fn two(world: &World) -> [Lease; 2] {
    let client = SearchClient::new(&world.settings.search).unwrap();
    ensure_indices(&client).await.unwrap();
    [(); 2].map(|()| Lease::new(client.clone(), LENGTH))
}

fn is_held_by_another(attempt: &Attempt) -> bool {
    matches!(attempt, Attempt::HeldBy(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_renewed_is_taken_by_nobody() {
    World::run(async |world| {
        let [mut holder, mut other] = two(world).await;
        assert_eq!(holder.try_take().await.unwrap(), Attempt::Held);
        let until = Instant::now() + 3 * LENGTH;
        while Instant::now() < until {
            let tried = other.try_take().await.unwrap();
            assert!(is_held_by_another(&tried), "{tried:?}");
            assert_eq!(holder.renew().await.unwrap(), Renewal::Held);
            tokio::time::sleep(LENGTH / 6).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_not_renewed_is_taken_and_who_slept_finds_out() {
    World::run(async |world| {
        let [mut sleeper, mut other] = two(world).await;
        assert_eq!(sleeper.try_take().await.unwrap(), Attempt::Held);
        assert!(is_held_by_another(&other.try_take().await.unwrap()));
        tokio::time::sleep(LENGTH + LENGTH / 6).await;
        assert_eq!(other.try_take().await.unwrap(), Attempt::Held);
        assert_eq!(sleeper.renew().await.unwrap(), Renewal::Lost);
        assert!(is_held_by_another(&sleeper.try_take().await.unwrap()));
        assert_eq!(other.renew().await.unwrap(), Renewal::Held);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_try_at_once_one_gets_it() {
    World::run(async |world| {
        for _ in 0..20 {
            let [mut one, mut other] = two(world).await;
            let (first, second) = tokio::join!(one.try_take(), other.try_take());
            let held = [first.unwrap(), second.unwrap()].map(|tried| tried == Attempt::Held);
            assert!(held[0] != held[1], "{held:?}");
            for lease in [&mut one, &mut other] {
                lease.release().await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_followers_one_acts_and_when_it_dies_the_other_takes_over_within_10_s() {
    World::run(async |world| {
        world.settings.follower.lease_ms = 5_000;
        let first = world.follow().await;
        first.acts().await;
        let second = world.follow().await;
        second.ready().await;
        assert!(!second.health.is_acting());
        world.shards[0].accept(3).await;
        world.agree().await;
        first.abort().await;
        let died = Instant::now();
        let id = world.shards[0].accept(1).await[0];
        eventually("the second follows", async || {
            let found = world.search.document(&id).await;
            found.map(|_| ()).ok_or("not yet".to_owned())
        })
        .await;
        let took = died.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        world.agree().await;
        second.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_stops_in_order_hands_over_at_once() {
    World::run(async |world| {
        world.settings.follower.lease_ms = 60_000;
        let first = world.follow().await;
        first.acts().await;
        first.stop().await;
        let second = world.follow().await;
        let id = world.shards[0].accept(1).await[0];
        let begun = Instant::now();
        eventually("the second follows", async || {
            let found = world.search.document(&id).await;
            found.map(|_| ()).ok_or("not yet".to_owned())
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(30));
        second.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_follower_that_is_started_again_on_its_machine_need_not_wait() {
    World::run(async |world| {
        world.settings.follower.lease_ms = 600_000;
        let mut killed = spawn(world);
        world.shards[0].accept(3).await;
        world.agree().await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        let mut again = spawn(world);
        world.shards[1].accept(3).await;
        world.agree().await;
        again.kill().unwrap();
        again.wait().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_asleep_stands_by_when_it_wakes() {
    World::run(async |world| {
        world.settings.follower.lease_ms = 5_000;
        let mut sleeper = spawn(world);
        world.shards[0].accept(3).await;
        world.agree().await;
        signal(&sleeper, "STOP");
        let mut other = spawn(world);
        world.shards[1].accept(3).await;
        world.agree().await;
        signal(&sleeper, "CONT");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(sleeper.try_wait().unwrap().is_none(), "it ended");
        assert!(other.try_wait().unwrap().is_none(), "the other one ended");
        world.shards[0].accept(3).await;
        world.agree().await;
        other.kill().unwrap();
        other.wait().unwrap();
        world.shards[1].accept(3).await;
        world.agree().await;
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    })
    .await;
}

fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}
