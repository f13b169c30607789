//! Limits of headers, bodies, time and load; and what the framework itself would refuse.

use crate::client::send;
use crate::stand::{order, with_stand};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn every_refusal_is_a_problem_with_a_request_id() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        shop.get("/nowhere").await.problem(404, "not_found");
        shop.get("/v1/orders")
            .await
            .problem(405, "method_not_allowed");
        let deleted = send(shop.request(Method::DELETE, "/v1/orders/ord_x")).await;
        deleted.problem(405, "method_not_allowed");
        assert!(deleted.header("allow").contains("GET"), "{deleted:?}");
        let post = || {
            shop.request(Method::POST, "/v1/orders")
                .header("idempotency-key", "k")
        };
        for kind in [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
        ] {
            let answer = send(post().header("content-type", kind).body("{}")).await;
            answer.problem(415, "unsupported_media_type");
        }
        send(post().body("{}"))
            .await
            .problem(415, "unsupported_media_type");
        let packed = post().json(&order(1)).header("content-encoding", "gzip");
        send(packed).await.problem(415, "unsupported_media_type");
        let huge = json!({ "description": "x".repeat(70_000) });
        send(post().json(&huge))
            .await
            .problem(413, "body_too_large");
        let id = shop
            .request(Method::GET, "/nowhere")
            .header("x-request-id", "abc");
        assert_eq!(
            send(id).await.problem(404, "not_found").text("request_id"),
            "abc"
        );
        let unknown = shop.get("/v1/search/orders?statuses=paid").await;
        unknown
            .problem(400, "invalid_parameter")
            .pointers(&["statuses"]);
        let summary = shop.get("/v1/search/orders/summary?by=colour").await;
        summary.problem(400, "invalid_parameter").pointers(&["by"]);
    })
    .await;
}

#[tokio::test]
async fn heads_are_limited_in_size_number_and_time() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| settings.http.header_timeout_ms = 1000)
            .await;
        let address = url.trim_start_matches("http://");
        let shop = stand.shop(&url);
        let large = shop
            .request(Method::GET, "/livez")
            .header("x-large", "x".repeat(20_000));
        assert_eq!(send(large).await.status, 431);
        let mut many = shop.request(Method::GET, "/livez");
        for number in 0..80 {
            many = many.header(format!("x-{number}"), "1");
        }
        assert_eq!(send(many).await.status, 431);
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n")
            .await
            .unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        // Closed, with or without a word.
        let _ = slow.read_to_end(&mut answer).await;
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    })
    .await;
}

#[tokio::test]
async fn who_does_not_say_which_http_he_speaks_is_let_go() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| {
                settings.http.header_timeout_ms = 1000;
                settings.http.connections_max = 4;
            })
            .await;
        let address = url.trim_start_matches("http://");
        let mut held = Vec::new();
        for said in [&b""[..], b"", b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said).await.unwrap();
            held.push(stream);
        }
        // Every place is taken until they are closed, with or without a word.
        let begun = Instant::now();
        for mut stream in held {
            let left = Duration::from_secs(5).saturating_sub(begun.elapsed());
            let mut answer = Vec::new();
            let closed = tokio::time::timeout(left, stream.read_to_end(&mut answer)).await;
            assert!(closed.is_ok(), "a silent connection keeps its place");
        }
        assert_eq!(stand.shop(&url).get("/livez").await.status, 200);
        assert_http_2(&url).await;
    })
    .await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| settings.http.body_timeout_ms = 300)
            .await;
        let shop = stand.shop(&url);
        let token = shop.request(Method::GET, "/").build().unwrap();
        let token = token.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        let mut slow = TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .unwrap();
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\
             idempotency-key: k\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = slow.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn too_many_requests_in_hand_are_shed_and_probes_are_not() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| {
                settings.http.requests_max = 0;
                settings.http.waiting_requests_max = 1;
            })
            .await;
        let shop = stand.shop(&url);
        let shed = shop.post_order("k", &order(1)).await;
        shed.problem(503, "overloaded");
        assert!(!shed.header("retry-after").is_empty());
        assert_eq!(shop.get("/livez").await.status, 200);
        assert_eq!(shop.get("/readyz").await.status, 200);
        assert_eq!(shop.get("/healthz").await.status, 200);
        let waiting = shop.post_and_wait("k", &order(1), 1).await;
        assert_eq!(waiting.status, 202, "those who wait are counted apart");
    })
    .await;
}

#[tokio::test]
async fn http_2_is_spoken_as_well() {
    with_stand(async |stand| {
        assert_http_2(&stand.start().await).await;
    })
    .await;
}

async fn assert_http_2(url: &str) {
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let answer = http.get(format!("{url}/livez")).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
}
