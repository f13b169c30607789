//! 37 to 40: what callers of the API do, and what is done to it.

use crate::live::{Live, live, until};
use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use holdfast_tests::{Asked, Fault, Merchant, Recorder, Told};
use rand::Rng;
use stack::ServerName;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(30);

async fn shop_with(live: &Live, money: i64) -> Result<(Recorder, Asked)> {
    let shop = Merchant::open(&live.pipeline).await?;
    let asked = Asked {
        payer: shop.customer(money).await?,
        payee: shop.account.clone(),
        amount: 1_000,
    };
    Ok((Recorder::of(shop), asked))
}

fn id_of(told: &Told) -> Result<String> {
    match told {
        Told::Accepted { id, .. } => Ok(id.clone()),
        other => anyhow::bail!("{other:?}"),
    }
}

/// 37. Fifty at once under one key, five times over, also while Redis forgets.
#[tokio::test]
async fn fifty_concurrent_identical_posts_are_one_order() -> Result<()> {
    live(async |live| {
        let (recorder, asked) = shop_with(live, 100_000).await?;
        for round in 0..5 {
            let key = format!("fifty-{}-{round}", live.seed);
            let posts = (0..50).map(async |place| {
                if place == 25 && round % 2 == 1 {
                    forget_everything(live).await?;
                }
                id_of(&recorder.submit(&key, &asked).await)
            });
            let ids: Result<HashSet<String>> = join_all(posts).await.into_iter().collect();
            ensure!(ids?.len() == 1, "more than one order under {key}");
        }
        live.pipeline.assert_invariants().await?;
        let figures = recorder.assert_true(&live.pipeline).await?;
        ensure!((figures.accepted, figures.paid) == (5, 5), "{figures:?}");
        Ok(())
    })
    .await
}

async fn forget_everything(live: &Live) -> Result<()> {
    let client = redis::Client::open(live.env().redis_url.as_str())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
    Ok(())
}

/// 38. Another body under the same key is refused: at once, once the first has ended, and when Redis
/// has forgotten both.
#[tokio::test]
async fn another_body_under_the_same_key_is_refused() -> Result<()> {
    live(async |live| {
        let (recorder, asked) = shop_with(live, 100_000).await?;
        let other = Asked {
            amount: 2_000,
            ..asked.clone()
        };
        let first = id_of(&recorder.submit("one", &asked).await)?;
        ensure!(recorder.submit("one", &other).await == Told::OtherBodyStands);
        recorder.merchant.ended(&first).await?;
        ensure!(recorder.submit("one", &other).await == Told::OtherBodyStands);
        forget_everything(live).await?;
        ensure!(recorder.submit("one", &other).await == Told::OtherBodyStands);
        ensure!(id_of(&recorder.submit("one", &asked).await)? == first);
        // Both bodies at once: one of them stands, whichever it is.
        for place in 0..20 {
            let key = format!("race-{place}");
            let race = [recorder.submit(&key, &asked), recorder.submit(&key, &other)];
            let told = join_all(race).await;
            let taken = told
                .iter()
                .filter(|told| matches!(told, Told::Accepted { .. }));
            ensure!(taken.count() <= 1, "both stand: {told:?}");
        }
        live.pipeline.assert_invariants().await?;
        recorder.assert_true(&live.pipeline).await?;
        Ok(())
    })
    .await
}

/// 38. A refusal for lack of funds stays one under its key, whatever the payer has by then.
#[tokio::test]
async fn a_refusal_for_lack_of_funds_stays_a_refusal() -> Result<()> {
    live(async |live| {
        let (recorder, asked) = shop_with(live, 999).await?;
        let shop = &recorder.merchant;
        let first = id_of(&recorder.submit_and_wait("poor", &asked, 20).await)?;
        shop.fund(&asked.payer, 50_000).await?;
        for emptied in [false, true] {
            if emptied {
                forget_everything(live).await?;
            }
            let body = shop.order(&asked.payer, asked.amount);
            let answer = shop.client.post_and_wait("poor", &body, 20).await?;
            ensure!(answer.text("id") == first, "{answer:?}");
            ensure!(answer.text("reason") == "insufficient_funds", "{answer:?}");
        }
        ensure!(shop.balance(&asked.payer).await? == (50_999, 0));
        live.pipeline.assert_invariants().await?;
        recorder.assert_true(&live.pipeline).await?;
        Ok(())
    })
    .await
}

/// 39. The API is killed again and again while Redis is slow, so that most requests stand between
/// Kafka's acknowledgement and their answer; the clients repeat.
#[tokio::test]
async fn an_api_killed_before_its_answers_accepts_nothing_twice() -> Result<()> {
    live(async |live| {
        let api = ServerName::OrderApi;
        let network = live.behind_proxies(&[api]).await?;
        let load = live.load_of(usize::MAX, 5).await?;
        let (recorder, mut rng) = (load.recorder.clone(), live.rng());
        network.set(ServerName::Redis, Fault::Delay(Duration::from_millis(30)));
        for _ in 0..8 {
            let accepted = recorder.tally().accepted;
            until(SOON, "orders are taken", async || {
                Ok(recorder.tally().accepted > accepted + 5)
            })
            .await?;
            sleep(Duration::from_millis(rng.random_range(0..150))).await;
            live.handle(api).kill().await?;
            live.handle(api).start().await?;
        }
        network.set(ServerName::Redis, Fault::Pass);
        let tally = recorder.tally();
        println!("{tally:?}");
        ensure!(tally.no_answer >= 8, "no request was in hand: {tally:?}");
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// Orders go on being accepted and ending for so long.
async fn orders_go_on(live: &Live, recorder: &Recorder, for_so_long: Duration) -> Result<()> {
    let (tally, (_, ended)) = (recorder.tally(), live.rows(&recorder.merchant).await?);
    let begun = Instant::now();
    sleep(for_so_long).await;
    let now = recorder.tally();
    until(SOON, "orders end", async || {
        Ok(live.rows(&recorder.merchant).await?.1 > ended)
    })
    .await?;
    let per_second = |count: u64| count as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{:.0} accepted per second",
        per_second(now.accepted - tally.accepted)
    );
    ensure!(now.accepted > tally.accepted + 10, "{tally:?} {now:?}");
    ensure!(now.refused_503 == tally.refused_503, "{tally:?} {now:?}");
    Ok(())
}

/// 40. Redis is killed, and stays away for a while.
#[tokio::test]
async fn orders_go_on_without_redis() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        sleep(Duration::from_millis(500)).await;
        let redis = live.handle(ServerName::Redis);
        redis.kill().await?;
        orders_go_on(live, &load.recorder, Duration::from_secs(3)).await?;
        redis.start().await?;
        sleep(Duration::from_millis(500)).await;
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 40. Redis is slow, then answers nothing at all.
#[tokio::test]
async fn orders_go_on_with_a_slow_redis() -> Result<()> {
    live(async |live| {
        let services = [ServerName::OrderApi, ServerName::Consumer(1)];
        let network = live.behind_proxies(&services).await?;
        let load = live.endless_load().await?;
        sleep(Duration::from_millis(500)).await;
        for fault in [Fault::Delay(Duration::from_millis(300)), Fault::BlackHole] {
            network.set(ServerName::Redis, fault);
            orders_go_on(live, &load.recorder, Duration::from_secs(2)).await?;
        }
        network.set(ServerName::Redis, Fault::Pass);
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 40. Redis forgets everything, again and again.
#[tokio::test]
async fn a_redis_emptied_in_mid_load_changes_nothing() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        let mut rng = live.rng();
        for _ in 0..25 {
            sleep(Duration::from_millis(rng.random_range(20..180))).await;
            forget_everything(live).await?;
        }
        let figures = live.finish(load).await?;
        figures
            .accepted
            .checked_sub(20)
            .context("hardly any load")?;
        Ok(())
    })
    .await
}
