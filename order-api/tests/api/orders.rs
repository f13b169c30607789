//! Placing an order and looking at it.

use crate::client::send;
use crate::stand::{order, with_stand};
use crate::tokens::ALL_SCOPES;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_accepted_order_is_on_kafka_as_it_was_sent() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let mut body = order(2933);
        body["reference"] = json!("r-1");
        body["description"] = json!("three discs \u{1F381}");
        body["metadata"] = json!({ "b": 1, "a": { "y": [1, 2.5], "x": null } });
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = stand
            .shop(&url)
            .request(Method::POST, "/v1/orders")
            .json(&body);
        let request = request
            .header("idempotency-key", "k 1")
            .header("x-request-id", "mine-1");
        let answer = send(request.header("traceparent", trace)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let id = answer.text("id");
        assert_eq!(answer.header("location"), format!("/v1/orders/{id}"));
        assert_eq!(answer.header("x-request-id"), "mine-1");
        assert_eq!(answer.header("idempotent-replayed"), "");
        assert_eq!(answer.text("status"), "processing");
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&answer.body[name], value);
        }
        let records = stand.records().await;
        assert_eq!(records.len(), 1);
        let record = &records[0];
        assert_eq!(record.key, id);
        let command = domain::PaymentCommand::parse(record.value.to_string().as_bytes()).unwrap();
        assert_eq!(
            (command.tenant.as_str(), command.merchant.as_str()),
            ("demo", "shop")
        );
        assert_eq!(command.amount, 2933);
        assert_eq!(record.value["metadata"], body["metadata"]);
        let header = |name: &str| {
            let found = record.headers.iter().find(|(n, _)| n == name);
            found.map_or("", |(_, value)| value)
        };
        assert_eq!((header("type"), header("schema-version")), ("payment", "1"));
        assert_eq!(header("content-type"), "application/json");
        assert!(header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(header("traceparent") != trace && header("wake").is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_order_exists_to_its_owner_at_once_and_to_nobody_else() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let accepted = shop.post_order("k1", &order(100)).await;
        let path = accepted.header("location").to_owned();
        stand.empty_redis().await;
        let seen = shop.get(&path).await;
        assert_eq!(
            (seen.status.as_u16(), seen.text("status")),
            (200, "processing")
        );
        let rival = stand.client(&url, "demo", Some("rival"), ALL_SCOPES);
        let stranger = stand.client(&url, "other", Some("shop"), ALL_SCOPES);
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        rival.get(&path).await.problem(404, "order_not_found");
        stranger.get(&path).await.problem(404, "order_not_found");
        let record = stand.records().await.remove(0).value;
        stand.insert_row(&record, (11, 1)).await;
        for owner in [&shop, &office] {
            let seen = owner.get(&path).await;
            assert_eq!(seen.text("status"), "cancelled", "{seen:?}");
            assert_eq!(seen.text("reason"), "insufficient_funds");
            assert_eq!(seen.body["version"], 3);
            assert_eq!(seen.body["payer"], record["payer"]);
        }
        rival.get(&path).await.problem(404, "order_not_found");
        stranger.get(&path).await.problem(404, "order_not_found");
        for malformed in [
            "ord_1",
            "acct_00000000000000000000000000000001",
            "%00",
            "ord_%FF",
        ] {
            let answer = shop.get(&format!("/v1/orders/{malformed}")).await;
            assert!(answer.status.is_client_error(), "{answer:?}");
            assert!(!answer.text("code").is_empty(), "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn who_waits_gets_the_outcome_or_202_when_time_is_up() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let begun = Instant::now();
        let late = shop.post_and_wait("late", &order(100), 1).await;
        assert_eq!(late.status, 202, "{late:?}");
        assert_eq!(late.header("preference-applied"), "wait=1");
        assert!(begun.elapsed() >= Duration::from_millis(900));
        let waiting = {
            let shop = shop.clone();
            tokio::spawn(async move { shop.post_and_wait("soon", &order(200), 20).await })
        };
        let record = loop {
            let records = stand.records().await;
            if let Some(record) = records.into_iter().find(|r| r.value["amount"] == 200) {
                break record;
            }
        };
        let wake = record
            .headers
            .iter()
            .find(|(name, _)| name == "wake")
            .unwrap()
            .1
            .clone();
        stand.insert_row(&record.value, (10, 0)).await;
        let client = redis::Client::open(crate::stand::variable("HOLDFAST_REDIS_URL")).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let heard: i64 = redis::cmd("PUBLISH")
            .arg(format!("t_{}:wake:{wake}", stand.run))
            .arg(json!([record.key]).to_string())
            .query_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(heard, 1, "the instance listens on its channel");
        let outcome = waiting.await.unwrap();
        assert_eq!(
            (outcome.status.as_u16(), outcome.text("status")),
            (200, "paid")
        );
        assert_eq!(outcome.body["captured"], 200);
        assert_eq!(
            outcome.header("location"),
            format!("/v1/orders/{}", record.key)
        );
        let again = shop.post_and_wait("soon", &order(200), 20).await;
        assert_eq!(
            (again.status.as_u16(), again.header("idempotent-replayed")),
            (200, "true")
        );
    })
    .await;
}

#[tokio::test]
async fn a_bad_order_is_refused_by_name_and_nothing_is_written() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let cases = [
            ("amount", json!(0)),
            ("amount", json!(-5)),
            ("amount", json!(1.5)),
            ("amount", json!("100")),
            ("amount", json!(1_000_000_000_001_i64)),
            ("currency", json!("ZZZ")),
            ("payer", json!("ord_00000000000000000000000000000001")),
            ("payee", order(1)["payer"].clone()),
            ("colour", json!("red")),
            ("metadata", json!({ "x": "y".repeat(17_000) })),
            ("reference", json!("r".repeat(129))),
        ];
        for (name, value) in cases {
            let mut body = order(100);
            body[name] = value;
            let answer = shop.post_order("k", &body).await;
            answer
                .problem(400, "invalid_body")
                .pointers(&[&format!("/{name}")]);
        }
        let raw = |text: &'static str| {
            let request = shop.request(Method::POST, "/v1/orders").body(text);
            let request = request.header("content-type", "application/json; charset=utf-8");
            send(request.header("idempotency-key", "k"))
        };
        raw(r#"{"amount":1,"amount":2}"#)
            .await
            .problem(400, "invalid_body")
            .pointers(&["/amount"]);
        let mut body = order(100);
        body["metadata"] = json!({ "serial": 1 });
        let long = body
            .to_string()
            .replace("\"serial\":1", "\"serial\":10000000000000000000001");
        let request = shop.request(Method::POST, "/v1/orders").body(long);
        let request = request.header("content-type", "application/json");
        send(request.header("idempotency-key", "k"))
            .await
            .problem(400, "invalid_body")
            .pointers(&["/metadata/serial"]);
        raw("{").await.problem(400, "invalid_body");
        raw("").await.problem(400, "invalid_body");
        assert!(stand.records().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_key_is_required_once_and_readable() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let post = || shop.request(Method::POST, "/v1/orders").json(&order(1));
        let missing = send(post()).await;
        missing
            .problem(400, "idempotency_key_missing")
            .pointers(&["Idempotency-Key"]);
        let twice = post()
            .header("idempotency-key", "a")
            .header("idempotency-key", "b");
        send(twice).await.problem(400, "idempotency_key_invalid");
        for bad in [String::new(), "x".repeat(256)] {
            let answer = send(post().header("idempotency-key", bad)).await;
            answer.problem(400, "idempotency_key_invalid");
        }
        let umlaut = reqwest::header::HeaderValue::from_bytes(b"\xe4").unwrap();
        let answer = send(post().header("idempotency-key", umlaut)).await;
        answer.problem(400, "idempotency_key_invalid");
        assert!(stand.records().await.is_empty());
    })
    .await;
}
