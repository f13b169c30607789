//! 41 and 42: search while Elasticsearch or the follower is not well.

use crate::live::{Live, at_full_length, live};
use crate::watch::Watch;
use anyhow::{Result, ensure};
use holdfast_tests::Fault;
use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use stack::ServerName;
use std::time::Duration;
use tokio::time::sleep;

const FOLLOWER: ServerName = ServerName::CdcSync;
const SEARCH: ServerName = ServerName::Elasticsearch;
const MANY: usize = 1_000;

impl Live {
    /// Elasticsearch, spoken to directly.
    pub async fn search(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut request = client.request(method, format!("{}{path}", self.env().search_url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(status.is_success(), "{path}: {status} {body}");
        Ok(body)
    }
}

/// 41. Nobody reaches Elasticsearch for ten seconds (a minute at full length): money flows, search
/// says that it cannot answer, and then shows everything.
#[tokio::test]
async fn search_catches_up_after_elasticsearch_was_away() -> Result<()> {
    live(async |live| {
        let network = live
            .behind_proxies(&[ServerName::OrderApi, FOLLOWER])
            .await?;
        let load = live.endless_load().await?;
        let shop = load.recorder.merchant.clone();
        network.set(SEARCH, Fault::Cut);
        let (_, before) = live.rows(&shop).await?;
        sleep(Duration::from_secs(if at_full_length() { 60 } else { 10 })).await;
        let answer = shop.client.get("/v1/search/orders").await?;
        ensure!(answer.status == 503, "{answer:?}");
        ensure!(!answer.header("retry-after").is_empty(), "{answer:?}");
        ensure!(
            live.rows(&shop).await?.1 > before + 20,
            "money waits for search"
        );
        network.set(SEARCH, Fault::Pass);
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 41. Elasticsearch answers each document with 429, as it does when its disk is nearly full.
#[tokio::test]
async fn documents_answered_with_429_are_written_later() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        let settings = "/orders/_settings";
        let full = |yes: Value| json!({ "index.blocks.read_only_allow_delete": yes });
        let refused = "follower_bulk_retries_total";
        let before = live.metric(FOLLOWER, refused, "").await?;
        for _ in 0..2 {
            live.search(Method::PUT, settings, Some(&full(json!(true))))
                .await?;
            sleep(Duration::from_millis(2_500)).await;
            live.search(Method::PUT, settings, Some(&full(Value::Null)))
                .await?;
            sleep(Duration::from_millis(500)).await;
        }
        let after = live.metric(FOLLOWER, refused, "").await?;
        live.finish(load).await?;
        ensure!(after > before, "nothing was answered with 429");
        let sampled = live
            .metric(FOLLOWER, "follower_searchable_seconds_count", "")
            .await?;
        ensure!(sampled > 0.0, "nobody measures how soon a commit is found");
        Ok(())
    })
    .await
}

/// 41. Elasticsearch is killed in the middle of bulks.
#[tokio::test]
async fn search_is_right_after_elasticsearch_died_in_mid_bulk() -> Result<()> {
    live(async |live| {
        let load = live.endless_load().await?;
        let bound = live.rng().random_range(700..1_700);
        sleep(Duration::from_millis(bound)).await;
        let search = live.handle(SEARCH);
        search.kill().await?;
        search.start().await?;
        live.finish(load).await?;
        Ok(())
    })
    .await
}

/// 42. The follower is killed ten times, at random moments; nothing that search shows goes back.
#[tokio::test]
async fn a_follower_killed_ten_times_takes_nothing_back() -> Result<()> {
    live(async |live| {
        let load = live.load_of(usize::MAX, 20).await?;
        let watch = Watch::over(live, &load.recorder.merchant.name);
        let (follower, mut rng) = (live.handle(FOLLOWER), live.rng());
        for _ in 0..10 {
            // Sometimes before it is ready, sometimes in the middle of its work.
            sleep(Duration::from_millis(rng.random_range(50..1_200))).await;
            follower.kill().await?;
            follower.launch().await?;
        }
        follower.ready().await?;
        live.finish(load).await?;
        let seen = watch.end().await?;
        ensure!(seen > 20, "only {seen} documents were seen");
        Ok(())
    })
    .await
}

/// 42. The follower's positions are set back: it reads everything since then a second time, with all
/// its old versions, on top of the new ones.
#[tokio::test]
async fn changes_that_come_again_take_nothing_back() -> Result<()> {
    live(async |live| {
        let load = live.load_of(400, 20).await?;
        let merchant = load.recorder.merchant.name.clone();
        sleep(Duration::from_millis(300)).await;
        let old = positions(live).await?;
        let figures = live.finish(load).await?;
        let follower = live.handle(FOLLOWER);
        follower.kill().await?;
        let watch = Watch::over(live, &merchant);
        for (id, position) in &old {
            let path = format!("/orders-follower/_doc/{id}?refresh=true");
            live.search(Method::PUT, &path, Some(position)).await?;
        }
        follower.start().await?;
        let newer = "follower_documents_older_total";
        let written = "follower_documents_total";
        crate::live::until(Duration::from_secs(20), "it reads again", async || {
            let (written, newer) = (
                live.metric(FOLLOWER, written, "").await?,
                live.metric(FOLLOWER, newer, "").await?,
            );
            Ok(written + newer > 20.0)
        })
        .await?;
        live.pipeline.assert_invariants().await?;
        let seen = watch.end().await?;
        ensure!(
            seen >= (figures.paid + figures.cancelled).min(MANY),
            "{seen} documents"
        );
        Ok(())
    })
    .await
}

/// The positions that the follower has saved, by their document's id.
async fn positions(live: &Live) -> Result<Vec<(String, Value)>> {
    live.search(Method::POST, "/orders-follower/_refresh", None)
        .await?;
    let found = live
        .search(Method::GET, "/orders-follower/_search?size=100", None)
        .await?;
    let hits = found["hits"]["hits"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(!hits.is_empty(), "no position is saved");
    let document = |hit: &Value| {
        let id = hit["_id"].as_str().unwrap_or_default().to_owned();
        (id, hit["_source"].clone())
    };
    Ok(hits.iter().map(document).collect())
}
