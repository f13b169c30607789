//! The way of an order from `POST` to search, on real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use futures_util::future::join_all;
use holdfast_tests::{Merchant, Pipeline, order};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn an_order_is_paid_and_found_by_search() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    let mut body = shop.order(&customer, 2_933);
    body["description"] = json!("three compact discs");
    body["reference"] = json!("till-7");
    body["metadata"] = json!({ "basket": [1, 2], "gift": "ja \u{1F381}" });

    let answer = shop.client.post_and_wait("k1", &body, 20).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("status"), "paid");
    assert_eq!(answer.body["metadata"], body["metadata"]);
    assert_eq!(shop.balance(&customer).await?, (2_067, 0));
    assert_eq!(shop.balance(&shop.account).await?, (2_933, 0));

    let path = "/v1/search/orders?q=discs&reference=till-7";
    let newest = |body: &Value| body["data"][0]["version"] == answer.body["version"];
    let found = search_until(&shop, path, newest).await?;
    assert_eq!(found["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["data"][0]["id"], answer.body["id"]);
    assert_eq!(found["data"][0]["status"], "paid");
    assert!(found["as_of"].is_string(), "{found}");
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn search_status_says_when_somebody_should_look() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let asked = ["search", "status", "--json"];
    let (mut told, mut code) = pipeline.try_holdfast(&asked).await?;
    // Whoever was here before may have left the follower with much to do.
    for _ in 0..60 {
        if code == 0 {
            break;
        }
        sleep(Duration::from_millis(500)).await;
        (told, code) = pipeline.try_holdfast(&asked).await?;
    }
    let status: Value = serde_json::from_str(&told)?;
    assert_eq!(
        (code, status["shards"].as_array().map(Vec::len)),
        (0, Some(2)),
        "{told}"
    );
    assert_eq!(status["index"], "orders-v1");
    let strict = ["search", "status", "--behind-max", "0s"];
    let (told, code) = pipeline.try_holdfast(&strict).await?;
    assert!(code == 1 && told.contains("orders-1"), "{code}: {told}");
    Ok(())
}

#[tokio::test]
async fn every_refusal_releases_what_was_held_and_says_why() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let other_tenant = Merchant::open_in(&pipeline, "elsewhere").await?;
    let customer = shop.customer(5_000).await?;
    let closed = shop.account("merchant", "USD").await?;
    shop.close(&closed).await?;
    let euros = shop.account("merchant", "EUR").await?;
    let strangers = other_tenant.customer(5_000).await?;
    let nobody = "acct_0123456789abcdef0123456789abcdef";
    let cases = [
        (order(&customer, &shop.account, 5_001), "insufficient_funds"),
        (order(&customer, &closed, 100), "account_closed"),
        (order(&closed, &shop.account, 100), "account_closed"),
        (order(&customer, &euros, 100), "currency_mismatch"),
        (order(&customer, nobody, 100), "account_not_found"),
        (order(nobody, &shop.account, 100), "account_not_found"),
        (order(&strangers, &shop.account, 100), "account_not_found"),
        (
            order(&customer, &other_tenant.account, 100),
            "account_not_found",
        ),
    ];
    for (place, (body, reason)) in cases.iter().enumerate() {
        let answer = shop
            .client
            .post_and_wait(&format!("refused-{place}"), body, 20)
            .await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            (answer.text("status"), answer.text("reason")),
            ("cancelled", *reason)
        );
    }
    assert_eq!(shop.balance(&customer).await?, (5_000, 0));
    assert_eq!(other_tenant.balance(&strangers).await?, (5_000, 0));
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn fifty_at_once_with_one_key_are_one_order() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    let body = shop.order(&customer, 100);
    let posts = (0..50).map(|_| shop.client.post("/v1/orders", "key-of-fifty", &body));
    let mut ids = HashSet::new();
    for answer in join_all(posts).await {
        let answer = answer?;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.insert(answer.text("id").to_owned());
    }
    assert_eq!(ids.len(), 1);
    shop.ended(ids.iter().next().unwrap()).await?;
    assert_eq!(shop.balance(&customer).await?, (4_900, 0));
    let again = shop
        .client
        .post("/v1/orders", "key-of-fifty", &body)
        .await?;
    assert_eq!(again.header("idempotent-replayed"), "true");
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn six_orders_of_a_thousand_on_five_thousand_pay_five() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    let body = shop.order(&customer, 1_000);
    let keys: Vec<String> = (0..6).map(|place| format!("six-{place}")).collect();
    let posts = keys
        .iter()
        .map(|key| shop.client.post_and_wait(key, &body, 20));
    let answers: Vec<_> = join_all(posts).await.into_iter().collect::<Result<_>>()?;
    let paid = answers
        .iter()
        .filter(|answer| answer.text("status") == "paid")
        .count();
    assert_eq!(paid, 5, "{answers:?}");
    assert_eq!(shop.balance(&customer).await?, (0, 0));
    shop.fund(&customer, 1_000).await?;
    let refused = answers
        .iter()
        .position(|answer| answer.text("status") != "paid")
        .unwrap();
    let again = shop.client.post_and_wait(&keys[refused], &body, 20).await?;
    assert_eq!(
        again.text("reason"),
        "insufficient_funds",
        "a refusal stays one: {again:?}"
    );
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn a_second_body_is_refused_by_redis_and_without_it() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    let first = shop
        .client
        .post_and_wait("two", &shop.order(&customer, 100), 20)
        .await?;
    let second = shop.order(&customer, 200);
    let early = shop.client.post("/v1/orders", "two", &second).await?;
    assert_eq!(early.status, 422, "{early:?}");
    empty_redis(&pipeline).await?;
    let by_the_row = shop.client.post("/v1/orders", "two", &second).await?;
    assert_eq!(by_the_row.status, 422, "{by_the_row:?}");
    assert_eq!(shop.balance(&customer).await?, (4_900, 0));
    let same = shop
        .client
        .post("/v1/orders", "two", &shop.order(&customer, 100))
        .await?;
    assert_eq!(same.text("id"), first.text("id"));
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn an_accepted_order_is_never_unknown_to_its_owner_alone() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let stranger = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    pipeline.stack.server("consumer")?.stop().await?;
    let accepted = shop
        .client
        .post("/v1/orders", "kept", &shop.order(&customer, 100))
        .await?;
    assert_eq!(accepted.status, 202);
    empty_redis(&pipeline).await?;
    let path = accepted.header("location").to_owned();
    let seen = shop.client.get(&path).await?;
    assert_eq!(
        (seen.status.as_u16(), seen.text("status")),
        (200, "processing")
    );
    assert_eq!(stranger.client.get(&path).await?.status, 404);
    pipeline.stack.server("consumer")?.start().await?;
    assert_eq!(shop.ended(accepted.text("id")).await?["status"], "paid");
    assert_eq!(stranger.client.get(&path).await?.status, 404);
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn orders_flow_while_redis_and_search_are_down() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    pipeline.stack.server("redis")?.stop().await?;
    pipeline.stack.server("elasticsearch")?.stop().await?;
    let answer = shop
        .client
        .post_and_wait("dark", &shop.order(&customer, 100), 20)
        .await?;
    assert_eq!(answer.text("status"), "paid", "{answer:?}");
    assert_eq!(shop.client.get("/v1/search/orders").await?.status, 503);
    pipeline.stack.server("redis")?.start().await?;
    pipeline.stack.server("elasticsearch")?.start().await?;
    let path = "/v1/search/orders?status=paid";
    search_until(&shop, path, |body| {
        body["data"][0]["id"] == answer.body["id"]
    })
    .await?;
    pipeline.assert_invariants().await
}

#[tokio::test]
async fn search_tells_how_old_it_is_while_the_follower_is_stopped() -> Result<()> {
    let pipeline = Pipeline::up().await?;
    let shop = Merchant::open(&pipeline).await?;
    let customer = shop.customer(5_000).await?;
    pipeline.stack.server("cdc-sync")?.stop().await?;
    let answer = shop
        .client
        .post_and_wait("unseen", &shop.order(&customer, 100), 20)
        .await?;
    assert_eq!(answer.text("status"), "paid");
    sleep(Duration::from_secs(2)).await;
    let stale = shop.client.get("/v1/search/orders").await?;
    assert_eq!(stale.body["data"], json!([]));
    assert!(
        stale.text("as_of") < answer.text("updated_at"),
        "{stale:?} {answer:?}"
    );
    pipeline.stack.server("cdc-sync")?.start().await?;
    let caught_up = |body: &Value| body["as_of"].as_str() > answer.body["updated_at"].as_str();
    let fresh = search_until(&shop, "/v1/search/orders", caught_up).await?;
    assert_eq!(fresh["data"][0]["status"], "paid", "{fresh}");
    pipeline.assert_invariants().await
}

/// Search follows the stores: asks until the answer is as expected.
async fn search_until(
    shop: &Merchant,
    path: &str,
    expected: impl Fn(&Value) -> bool,
) -> Result<Value> {
    for _ in 0..300 {
        let answer = shop.client.get(path).await?;
        if expected(&answer.body) {
            return Ok(answer.body);
        }
        sleep(Duration::from_millis(100)).await;
    }
    let last = shop.client.get(path).await?;
    anyhow::bail!("{path} never answered as expected: {last:?}")
}

async fn empty_redis(pipeline: &Pipeline) -> Result<()> {
    let client = redis::Client::open(pipeline.stack.env().redis_url.as_str())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
    Ok(())
}
