//! Exports that break off, find search away, or take up room.

use crate::search_export::{PAGE, add_plain, begin, header, ids, start_behind_gate, text};
use crate::search_index::{order_id, with_index};
use crate::tokens::ALL_SCOPES;
use order_api::Settings;
use reqwest::Response;
use serde_json::json;
use std::time::{Duration, Instant};

/// The first of these lines, in whole orders; the client loses the rest.
async fn first_lines(mut answer: Response, lines: usize) -> String {
    let mut text = String::new();
    while text.matches("ord_").count() <= lines {
        let chunk = answer.chunk().await.unwrap().unwrap();
        text += &String::from_utf8_lossy(&chunk);
    }
    let whole = text.split_inclusive('\n').take(lines);
    whole.collect()
}

/// Shorter waits than a service should have.
fn hurry(settings: &mut Settings) {
    settings.producer.message_timeout_ms = 500;
    settings.lookup.timeout_ms = 500;
    settings.http.body_timeout_ms = 500;
    settings.search.request_timeout_ms = 2_000;
    settings.http.request_timeout_ms = 5_000;
}

#[tokio::test]
async fn an_export_that_broke_off_goes_on_after_the_last_whole_order() {
    with_index(async |stand, index, shop| {
        let orders = 2 * PAGE + 500;
        add_plain(index, 0..orders).await;
        for (format, header_lines) in [("csv", 1), ("ndjson", 0)] {
            let query = format!("format={format}&sort=amount");
            let whole = text(&shop, &query).await;
            let broken = begin(&shop, &query).await;
            let cursor = header(&broken, "export-cursor");
            let part = first_lines(broken, header_lines + 1_234).await;
            let moved = json!({ "amount": 1_000_000 });
            index
                .add_all([5, 1_500, 2_499].map(|number| (number, moved.clone())))
                .await;
            let query = format!("format={format}&cursor={cursor}");
            let again = begin(&shop, &format!("{query}&after={}", order_id(1_233))).await;
            let same = header(&again, "export-cursor");
            let rest = again.text().await.unwrap();
            assert!(part + &rest == whole, "{format}");
            // Where nothing came whole, it is the whole again.
            assert!(text(&shop, &query).await == whole, "{format}");
            // A second break leads on as well.
            let query = format!("format={format}&cursor={same}");
            let end = text(&shop, &format!("{query}&after={}", order_id(2_497))).await;
            assert_eq!(end.matches("ord_").count(), 2);
            let none = text(&shop, &format!("{query}&after={}", order_id(2_499))).await;
            assert_eq!(none, "");
            let restored = [5, 1_500, 2_499].map(|number| (number, json!({})));
            index.add_all(restored).await;
        }
        let page = shop.get("/v1/search/orders?limit=200&sort=amount").await;
        let cursor = page.text("next_cursor");
        let rest = ids(&text(&shop, &format!("format=ndjson&cursor={cursor}")).await);
        assert_eq!(rest, (200..orders).map(order_id).collect::<Vec<_>>());

        let answer = begin(&shop, "format=ndjson").await;
        let cursor = header(&answer, "export-cursor");
        let with = |more: &str| format!("/v1/search/orders?format=ndjson&cursor={cursor}{more}");
        for (more, name) in [
            (format!("&after={}", order_id(orders)), "after"),
            ("&after=1234".to_owned(), "after"),
            ("&status=cancelled".to_owned(), "cursor"),
            ("&sort=amount".to_owned(), "cursor"),
        ] {
            let answer = shop.get(&with(&more)).await;
            answer.problem(400, "invalid_parameter").pointers(&[name]);
        }
        let rival = stand.client(&shop.url, "demo", Some("rival"), ALL_SCOPES);
        rival.get(&with("")).await.problem(400, "cursor_invalid");
    })
    .await;
}

#[tokio::test]
async fn an_export_whose_point_in_time_is_gone_is_told_so() {
    with_index(async |stand, index, _| {
        add_plain(index, 0..3 * PAGE).await;
        let (shop, gate) = start_behind_gate(stand, index, |_| ()).await;
        gate.let_pass(1);
        let answer = begin(&shop, "format=ndjson").await;
        let cursor = header(&answer, "export-cursor");
        let id = gate.open_points_in_time().remove(0);
        let closing = index.http.delete(format!("{}/_pit", index.url));
        let closed = closing.json(&json!({ "id": id })).send().await.unwrap();
        assert_eq!(closed.status(), 200);
        gate.let_pass(2);
        assert!(answer.text().await.is_err(), "a part passes for the whole");
        let path = format!("/v1/search/orders?format=ndjson&cursor={cursor}");
        shop.get(&path).await.problem(410, "cursor_expired");
    })
    .await;
}

#[tokio::test]
async fn search_away_in_the_middle_is_waited_for_or_seen_as_broken() {
    with_index(async |stand, index, _| {
        add_plain(index, 0..3 * PAGE).await;
        let (shop, gate) = start_behind_gate(stand, index, hurry).await;
        gate.let_pass(1);
        let answer = begin(&shop, "format=ndjson&sort=amount").await;
        gate.refuse(3);
        gate.let_pass(100);
        let found = ids(&answer.text().await.unwrap());
        assert_eq!(found, (0..3 * PAGE).map(order_id).collect::<Vec<_>>());

        for refuses in [true, false] {
            gate.shut();
            gate.let_pass(1);
            let mut answer = begin(&shop, "format=ndjson").await;
            if refuses {
                gate.refuse(usize::MAX);
                gate.let_pass(1_000);
            }
            let mut read = 0;
            let begun = Instant::now();
            let ended = loop {
                match answer.chunk().await {
                    Ok(Some(chunk)) => read += chunk.iter().filter(|b| **b == b'\n').count(),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            assert!(ended.is_err(), "{read} orders pass for the whole");
            assert!(read <= PAGE as usize);
            assert!(begun.elapsed() < Duration::from_secs(15));
        }
        gate.shut();
        gate.refuse(1);
        gate.let_pass(1);
        let refused = shop.get("/v1/search/orders?format=csv").await;
        refused.problem(503, "search_unavailable");
        assert!(!refused.header("retry-after").is_empty());
    })
    .await;
}

#[tokio::test]
async fn who_hangs_up_frees_his_place_and_too_many_exports_are_refused() {
    with_index(async |stand, index, _| {
        add_plain(index, 0..2 * PAGE).await;
        let one_export = |settings: &mut Settings| settings.http.exports_max = 1;
        let (shop, gate) = start_behind_gate(stand, index, one_export).await;
        gate.let_pass(1);
        let answer = begin(&shop, "format=ndjson").await;
        let refused = shop.get("/v1/search/orders?format=csv").await;
        refused.problem(503, "overloaded");
        assert_eq!(refused.header("retry-after"), "10");
        // Its second page waits at the gate when the client is gone.
        drop(answer);
        let begun = Instant::now();
        let probe = "/v1/search/orders?format=ndjson&cursor=AAAA";
        while shop.get(probe).await.text("code") == "overloaded" {
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
        shop.get(probe).await.problem(400, "cursor_invalid");
    })
    .await;
}

#[tokio::test]
async fn a_point_in_time_that_nobody_comes_back_to_is_given_back() {
    with_index(async |stand, index, _| {
        add_plain(index, 0..PAGE + 1).await;
        let (shop, gate) = start_behind_gate(stand, index, |_| ()).await;
        gate.let_pass(1);
        let short = begin(&shop, "format=csv&amount_max=200").await;
        assert_eq!(header(&short, "export-cursor"), "");
        assert_eq!(short.text().await.unwrap().lines().count(), 1 + 101);
        gate.refuse(1);
        gate.let_pass(1);
        let refused = shop.get("/v1/search/orders?format=csv").await;
        refused.problem(503, "search_unavailable");
        let begun = Instant::now();
        while !gate.open_points_in_time().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gate.let_pass(100);
        let long = begin(&shop, "format=csv").await;
        assert_ne!(header(&long, "export-cursor"), "");
        assert_eq!(
            long.text().await.unwrap().lines().count(),
            PAGE as usize + 2
        );
        // Its last lines may yet be lost on the way.
        assert_eq!(gate.open_points_in_time().len(), 1);
    })
    .await;
}
