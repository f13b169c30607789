//! What callers are told while a server is away. A closed port stands for a dead server.

use crate::stand::{order, with_stand};
use rdkafka::mocking::MockCluster;
use reqwest::Method;
use sqlx::Executor;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Nobody listens here.
const CLOSED: &str = "127.0.0.1:9";
/// The state and the reason of an order that is not decided yet.
const TRYING: (u8, u8) = (1, 0);

#[tokio::test]
async fn without_kafka_nothing_is_enqueued_and_it_is_said_at_once() {
    with_stand(async |stand| {
        let (url, readiness) = stand
            .start_unready(|settings| settings.kafka.brokers = CLOSED.into())
            .await;
        let shop = stand.shop(&url);
        for number in 0..20 {
            let begun = Instant::now();
            let answer = shop.post_order(&format!("k{number}"), &order(100)).await;
            answer.problem(503, "not_enqueued");
            assert!(!answer.header("retry-after").is_empty());
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "{:?}",
                begun.elapsed()
            );
        }
        assert!(readiness.check().is_err());
        assert_eq!(shop.get("/v1/orders/ord_x").await.status, 404);
        // The claim of a refused order does not stand in the way of another body.
        let good = stand.shop(&stand.start().await);
        assert_eq!(good.post_order("k0", &order(101)).await.status, 202);
        assert_eq!(stand.records().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn with_kafka_and_redis_away_nobody_can_say_that_nothing_will_come_of_it() {
    with_stand(async |stand| {
        let (url, _) = stand
            .start_unready(|settings| {
                settings.kafka.brokers = CLOSED.into();
                settings.redis.url = format!("redis://{CLOSED}/");
            })
            .await;
        let shop = stand.shop(&url);
        // Asked and silent at first, left alone later.
        for number in 0..6 {
            let answer = shop.post_order(&format!("k{number}"), &order(100)).await;
            answer.problem(503, "outcome_unknown");
            assert!(answer.header("location").starts_with("/v1/orders/ord_"));
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_claimed_an_order_in_redis_may_have_enqueued_it() {
    with_stand(async |stand| {
        let good = stand.shop(&stand.start().await);
        let known = good.post_order("k", &order(100)).await;
        let id = known.text("id");
        let (marker, _) = stand.mark(id).await.unwrap();
        let claim = format!("{}:00000000000000ff", marker.replacen("a:", "c:", 1));
        for foreign in [claim.as_str(), "what nobody can read"] {
            let (url, _) = stand
                .start_unready(|settings| settings.kafka.brokers = CLOSED.into())
                .await;
            let shop = stand.shop(&url);
            stand.set_mark(id, foreign).await;
            let answer = shop.post_order("k", &order(100)).await;
            answer.problem(503, "outcome_unknown");
            assert_eq!(answer.header("location"), known.header("location"));
            let (mark, _) = stand.mark(id).await.unwrap();
            // A claim is joined, so that its owner cannot take it back.
            assert_eq!(mark == foreign, !foreign.starts_with("c:"), "{mark}");
            assert_eq!(mark.split(':').next(), foreign.split(':').next());
            let fresh = shop.post_order("fresh", &order(100)).await;
            fresh.problem(503, "not_enqueued");
        }
    })
    .await;
}

#[tokio::test]
async fn an_order_that_somebody_else_joins_meanwhile_may_be_enqueued() {
    with_stand(async |stand| {
        let good = stand.shop(&stand.start().await);
        let known = good.post_order("k", &order(100)).await;
        let id = known.text("id").to_owned();
        let (marker, _) = stand.mark(&id).await.unwrap();
        stand.empty_redis().await;
        let (url, _) = stand
            .start_unready(|settings| settings.kafka.brokers = CLOSED.into())
            .await;
        let mut locked = stand.order_shard_of(id.parse().unwrap()).await;
        locked.execute("LOCK TABLES orders WRITE").await.unwrap();
        let asked = {
            let shop = stand.shop(&url);
            tokio::spawn(async move { shop.post_order("k", &order(100)).await })
        };
        let begun = Instant::now();
        while stand.mark(&id).await.is_none() {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        let joined = format!("{}:00000000000000ff", marker.replacen("a:", "c:", 1));
        stand.set_mark(&id, &joined).await;
        locked.execute("UNLOCK TABLES").await.unwrap();
        asked.await.unwrap().problem(503, "outcome_unknown");
        assert_eq!(stand.mark(&id).await.unwrap().0, joined);
    })
    .await;
}

#[tokio::test]
async fn who_waits_and_sees_that_another_body_counts_is_told() {
    with_stand(async |stand| {
        let first = stand.shop(&stand.start().await);
        assert_eq!(first.post_order("k", &order(100)).await.status, 202);
        let record = stand.records().await.remove(0);
        stand.empty_redis().await;
        let second = stand.shop(&stand.start().await);
        let waiting = tokio::spawn(async move { second.post_and_wait("k", &order(101), 3).await });
        while stand.records().await.len() < 2 {}
        stand.insert_row(&record.value, TRYING).await;
        let answer = waiting.await.unwrap();
        answer.problem(422, "idempotency_key_reused");
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_takes_no_order() {
    with_stand(async |stand| {
        let topic = format!("t_{}_elsewhere", stand.run);
        let (url, readiness) = stand
            .start_unready(|settings| settings.kafka.commands_topic = topic.clone())
            .await;
        let shop = stand.shop(&url);
        let begun = Instant::now();
        loop {
            let missing = readiness.check().unwrap_err();
            if missing["kafka"].contains(&topic) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{missing:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let answer = shop.post_order("k", &order(100)).await;
        answer.problem(503, "not_enqueued");
    })
    .await;
}

#[tokio::test]
async fn a_silent_kafka_leaves_the_outcome_unknown_until_the_same_key_resolves_it() {
    with_stand(async |stand| {
        let kafka = MockCluster::new(1).unwrap();
        kafka.create_topic(&stand.topic(), 4, 1).unwrap();
        let brokers = kafka.bootstrap_servers();
        let (url, _) = stand
            .start_unready(|settings| {
                settings.kafka.brokers = brokers;
                settings.producer.message_timeout_ms = 1500;
            })
            .await;
        let shop = stand.shop(&url);
        let begun = Instant::now();
        while shop.post_order("first", &order(100)).await.status != 202 {
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        kafka
            .broker_round_trip_time(1, Duration::from_secs(20))
            .unwrap();
        let answer = shop.post_order("k", &order(100)).await;
        answer.problem(503, "outcome_unknown");
        let path = answer.header("location").to_owned();
        assert!(path.starts_with("/v1/orders/ord_"));
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(shop.get(&path).await.text("status"), "processing");
        // For as long as a marker would: this process may die, and its record be on Kafka.
        let id = path.trim_start_matches("/v1/orders/");
        let (claim, ttl_s) = stand.mark(id).await.unwrap();
        let marker_ttl_s = stand.settings().idempotency.marker_ttl_s;
        assert!(
            claim.starts_with("c:") && ttl_s > marker_ttl_s - 60,
            "{claim} {ttl_s}"
        );
        // Another body has to wait until it is known whether this one counts.
        let other = stand
            .shop(&stand.start().await)
            .post_order("k", &order(101))
            .await;
        other.problem(409, "idempotency_key_in_flight");
        // With Kafka down as well, nobody can say that nothing will come of it.
        kafka.broker_down(1).unwrap();
        // A key of its own each time: one that was tried before the API noticed stays unknown.
        let begun = Instant::now();
        for place in 0.. {
            let fresh = shop
                .post_order(&format!("fresh-{place}"), &order(100))
                .await;
            if fresh.text("code") == "not_enqueued" {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{fresh:?}");
        }
        let again = shop.post_order("k", &order(100)).await;
        again.problem(503, "outcome_unknown");
        kafka.broker_up(1).unwrap();
        kafka.broker_round_trip_time(1, Duration::ZERO).unwrap();
        let begun = Instant::now();
        let resolved = loop {
            let answer = shop.post_order("k", &order(100)).await;
            if answer.status == 202 {
                break answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{answer:?}");
        };
        assert_eq!(resolved.header("location"), path);
    })
    .await;
}

#[tokio::test]
async fn without_redis_money_flows_and_one_process_still_knows_its_own() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| settings.redis.url = format!("redis://{CLOSED}/"))
            .await;
        let shop = stand.shop(&url);
        for number in 0..20 {
            let answer = shop.post_order(&format!("k{number}"), &order(100)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        let again = shop.post_order("k1", &order(100)).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        shop.post_order("k1", &order(101))
            .await
            .problem(422, "idempotency_key_reused");
        let record = stand
            .records()
            .await
            .into_iter()
            .find(|r| r.key == again.text("id"));
        stand.insert_row(&record.unwrap().value, (10, 0)).await;
        let waited = shop.post_and_wait("k1", &order(100), 5).await;
        assert_eq!(
            (waited.status.as_u16(), waited.text("status")),
            (200, "paid")
        );
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_costs_no_more_than_its_time_out() {
    with_stand(async |stand| {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let held = tokio::spawn(async move {
            let mut streams = Vec::new();
            while let Ok((stream, _)) = silent.accept().await {
                streams.push(stream);
            }
        });
        let url = stand
            .start_with(|settings| {
                settings.redis.url = format!("redis://{address}/");
                settings.idempotency.redis_timeout_ms = 250;
            })
            .await;
        let shop = stand.shop(&url);
        let begun = Instant::now();
        for number in 0..30 {
            let answer = shop.post_order(&format!("k{number}"), &order(100)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        // Thirty times two calls of 250 ms would be fifteen seconds: most are spared.
        assert!(
            begun.elapsed() < Duration::from_secs(9),
            "{:?}",
            begun.elapsed()
        );
        held.abort();
    })
    .await;
}

#[tokio::test]
async fn an_order_shard_that_is_away_stops_no_order_and_is_never_404() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| {
                for url in &mut settings.stores.order_shards {
                    *url = format!("mysql://u:p@{CLOSED}/x");
                }
                settings.stores.connect_timeout_ms = 300;
                settings.lookup.timeout_ms = 500;
            })
            .await;
        let shop = stand.shop(&url);
        let accepted = shop.post_order("k", &order(100)).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let begun = Instant::now();
        for number in 0..20 {
            let answer = shop.post_order(&format!("k{number}"), &order(100)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        let seen = shop.get(accepted.header("location")).await;
        seen.problem(503, "store_unavailable");
        assert!(!seen.header("retry-after").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_nothing_half_done() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let address = url.trim_start_matches("http://");
        let token = shop.request(Method::GET, "/").build().unwrap();
        let token = token.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = order(100).to_string();
        let head = |key: &str| {
            format!(
                "POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\
                 idempotency-key: {key}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            )
        };
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(head("half").as_bytes()).await.unwrap();
        half.write_all(&body.as_bytes()[..20]).await.unwrap();
        drop(half);
        for number in 0..30 {
            let mut whole = TcpStream::connect(address).await.unwrap();
            let request = head(&format!("whole-{number}")) + &body;
            whole.write_all(request.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(number % 6)).await;
            drop(whole);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Whatever became of each: its key is free for another body, or it stands for this one.
        for number in 0..30 {
            let answer = shop
                .post_order(&format!("whole-{number}"), &order(100))
                .await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        assert_eq!(shop.post_order("half", &order(101)).await.status, 202);
        let records = stand.records().await;
        assert_eq!(
            records.iter().filter(|r| r.value["amount"] == 101).count(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn an_orderly_end_answers_what_is_in_hand() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let waiting = {
            let shop = shop.clone();
            tokio::spawn(async move { shop.post_and_wait("k", &order(100), 30).await })
        };
        while stand.records().await.is_empty() {}
        let begun = Instant::now();
        stand.stop_newest().await;
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{:?}",
            begun.elapsed()
        );
        let closed = TcpStream::connect(url.trim_start_matches("http://")).await;
        assert!(closed.is_err());
    })
    .await;
}

#[tokio::test]
async fn an_orderly_end_does_not_wait_for_who_says_nothing() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let address = url.trim_start_matches("http://");
        let silent = TcpStream::connect(address).await.unwrap();
        let mut hinting = TcpStream::connect(address).await.unwrap();
        hinting.write_all(b"PRI").await.unwrap();
        assert_eq!(stand.shop(&url).get("/livez").await.status, 200);
        let begun = Instant::now();
        stand.stop_newest().await;
        let elapsed = begun.elapsed();
        assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
        drop((silent, hinting));
    })
    .await;
}

#[tokio::test]
async fn a_broken_head_is_refused_and_the_connection_closed() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nbroken\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400"));
    })
    .await;
}
