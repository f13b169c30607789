//! Search over an index of the test's own, filled by hand.

use crate::client::Client;
use crate::search_index::{account, with_index};
use crate::stand::{order, with_stand};
use crate::tokens::ALL_SCOPES;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn ids(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("/v1/search/orders?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = answer.body["data"].as_array().unwrap();
    data.iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn filters_find_what_they_say_and_nothing_of_others() {
    with_index(async |stand, index, shop| {
        index.add(1, json!({})).await;
        index.add(2, json!({ "status": "cancelled", "reason": "expired" })).await;
        index.add(3, json!({ "currency": "EUR", "description": "one vinyl record" })).await;
        index.add(4, json!({ "merchant": "rival" })).await;
        index.add(5, json!({ "tenant": "other" })).await;
        let number = |id: &String| u32::from_str_radix(&id[4..], 16).unwrap();
        for (query, expected) in [
            ("sort=created_at", &[1, 2, 3][..]),
            ("", &[3, 2, 1]),
            ("sort=-amount", &[3, 2, 1]),
            ("status=paid", &[3, 1]),
            ("status=paid,cancelled", &[3, 2, 1]),
            ("reason=expired", &[2]),
            ("currency=EUR", &[3]),
            ("reference=r-2", &[2]),
            (&format!("payer={}", account(1)), &[1]),
            (&format!("payee={}", account(9)), &[3, 2, 1]),
            ("amount_min=102&amount_max=102", &[2]),
            ("created_from=2026-01-01T10:02:00Z", &[3, 2]),
            ("created_to=2026-01-01T10:02:00Z", &[1]),
            ("created_to=2026-01-01", &[]),
            ("q=vinyl", &[3]),
            ("q=compact+vinyl", &[]),
            ("q=Discs", &[2, 1]),
        ] {
            let found: Vec<_> = ids(&shop, query).await.iter().map(number).collect();
            assert_eq!(found, expected, "{query}");
        }
        let office = stand.client(&shop.url, "demo", None, ALL_SCOPES);
        assert_eq!(ids(&office, "").await.len(), 4);
        assert_eq!(ids(&office, "merchant=rival").await.len(), 1);
        assert_eq!(ids(&office, "merchant=rival,shop").await.len(), 4);
        assert!(ids(&shop, "merchant=rival").await.is_empty());
        let summary = office.get("/v1/search/orders/summary?by=merchant").await;
        let lines = summary.body["data"].as_array().unwrap();
        let found: Vec<_> = lines.iter().map(|l| (&l["key"], &l["count"])).collect();
        let (shop_s, rival_s) = ((&json!("shop"), &json!(3)), (&json!("rival"), &json!(1)));
        assert_eq!(found, [shop_s, rival_s]);
        let page = shop.get("/v1/search/orders?limit=1").await;
        assert_eq!(
            page.body["totals"],
            json!({
                "paid": { "USD": { "count": 1, "amount": 101 }, "EUR": { "count": 1, "amount": 103 } },
                "cancelled": { "USD": { "count": 1, "amount": 102 } },
            })
        );
    })
    .await;
}

#[tokio::test]
async fn a_strict_page_shows_each_order_as_its_row_is() {
    with_index(async |stand, index, shop| {
        let accepted = shop.post_order("k1", &order(100)).await;
        let record = stand.records().await.remove(0).value;
        stand.insert_row(&record, (11, 1)).await;
        let id = accepted.text("id").to_owned();
        index
            .add(
                1,
                json!({ "order_id": id, "status": "processing", "version": 1 }),
            )
            .await;
        index.add(2, json!({ "status": "processing" })).await;
        assert_eq!(ids(&shop, "status=processing").await.len(), 2);
        assert!(
            ids(&shop, "status=processing&consistency=strict")
                .await
                .is_empty()
        );
        let path = "/v1/search/orders?consistency=strict";
        let page = shop.get(path).await;
        let orders = page.body["data"].as_array().unwrap();
        assert_eq!(orders.len(), 1, "what has no row is not shown: {page:?}");
        let shown = (&orders[0]["id"], &orders[0]["status"], &orders[0]["reason"]);
        let row = (
            &json!(id),
            &json!("cancelled"),
            &json!("insufficient_funds"),
        );
        assert_eq!(shown, row);
        assert_eq!(
            (&orders[0]["version"], &orders[0]["amount"]),
            (&json!(3), &json!(100))
        );
        let first = shop.get(&format!("{path}&limit=1&sort=created_at")).await;
        let cursor = first.body["next_cursor"].as_str().unwrap();
        let second = shop
            .get(&format!("/v1/search/orders?cursor={cursor}"))
            .await;
        assert_eq!(
            second.body["data"],
            json!([]),
            "what has no row, checked by the cursor"
        );
        let other = format!("/v1/search/orders?cursor={cursor}&consistency=search");
        let other = shop.get(&other).await;
        other
            .problem(400, "invalid_parameter")
            .pointers(&["cursor"]);
        let odd = shop.get("/v1/search/orders?consistency=perhaps").await;
        odd.problem(400, "invalid_parameter")
            .pointers(&["consistency"]);

        let nowhere = "mysql://u:p@127.0.0.1:9/x".to_owned();
        let url = stand
            .start_with(|settings| settings.stores.order_shards = vec![nowhere.clone(), nowhere])
            .await;
        let shop = stand.shop(&url);
        shop.get(path).await.problem(503, "store_unavailable");
        assert_eq!(ids(&shop, "").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_cursor_shows_one_point_in_time_while_orders_change() {
    with_index(async |stand, index, shop| {
        for number in 0..25 {
            index.add(number, json!({})).await;
        }
        let mut seen = Vec::new();
        let mut query = "status=paid&sort=-amount&limit=10".to_owned();
        for page in 0..3 {
            let answer = shop.get(&format!("/v1/search/orders?{query}")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let data = answer.body["data"].as_array().unwrap();
            seen.extend(data.iter().map(|order| order["amount"].as_i64().unwrap()));
            assert_eq!(answer.body["totals"]["paid"]["USD"]["count"], 25);
            // Some jump to where they would be met twice or never, some stop fitting.
            index.add(page, json!({ "amount": 10_000 })).await;
            index.add(20 + page, json!({ "status": "cancelled" })).await;
            index.add(100 + page, json!({ "amount": 1 })).await;
            match answer.body["next_cursor"].as_str() {
                Some(cursor) => query = format!("limit=10&cursor={cursor}"),
                None => assert_eq!(page, 2),
            }
        }
        let expected: Vec<_> = (100..125).rev().collect();
        assert_eq!(seen, expected);
        assert_eq!(
            ids(&shop, "limit=200")
                .await
                .iter()
                .collect::<BTreeSet<_>>()
                .len(),
            28
        );
        let cursor = query.split("cursor=").nth(1).unwrap();
        let with = |more: &str| format!("/v1/search/orders?cursor={cursor}{more}");
        assert_eq!(
            shop.get(&with("&status=paid&sort=-amount")).await.status,
            200
        );
        shop.get(&with("&status=cancelled"))
            .await
            .problem(400, "invalid_parameter");
        shop.get(&with("&sort=amount"))
            .await
            .problem(400, "invalid_parameter");
        let rival = stand.client(&shop.url, "demo", Some("rival"), ALL_SCOPES);
        rival.get(&with("")).await.problem(400, "cursor_invalid");
        shop.get("/v1/search/orders?cursor=AAAA")
            .await
            .problem(400, "cursor_invalid");
    })
    .await;
}

#[tokio::test]
async fn as_of_is_the_oldest_of_what_is_followed() {
    with_index(async |_, index, shop| {
        let as_of = async || shop.get("/v1/search/orders").await.body["as_of"].clone();
        assert_eq!(as_of().await, Value::Null);
        let (earlier, later) = ("2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.500000Z");
        index.followed("orders-0", later).await;
        assert_eq!(as_of().await, Value::Null, "nothing is known of one shard");
        let never = "1970-01-01T00:00:00.000000Z";
        index.followed("orders-1", never).await;
        assert_eq!(as_of().await, Value::Null, "one shard was never followed");
        index.followed("orders-1", earlier).await;
        assert_eq!(as_of().await, earlier);
        index.followed("orders-0", earlier).await;
        index.followed("orders-1", later).await;
        assert_eq!(as_of().await, earlier);
    })
    .await;
}

#[tokio::test]
async fn summaries_count_and_sum() {
    with_index(async |_, index, shop| {
        for number in [1, 2, 4, 61] {
            index.add(number, json!({})).await;
        }
        index
            .add(5, json!({ "status": "cancelled", "currency": "EUR" }))
            .await;
        let summary = async |query: &str| {
            let answer = shop
                .get(&format!("/v1/search/orders/summary?{query}"))
                .await;
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.body["data"].clone()
        };
        assert_eq!(
            summary("by=payer&status=paid&limit=1").await,
            json!([{ "key": account(1), "count": 3, "amount": { "USD": 101 + 104 + 161 } }])
        );
        assert_eq!(
            summary("by=status").await,
            json!([
                { "key": "paid", "count": 4, "amount": { "USD": 101 + 102 + 104 + 161 } },
                { "key": "cancelled", "count": 1, "amount": { "EUR": 105 } },
            ])
        );
        assert_eq!(
            summary("by=day&currency=USD").await,
            json!([
                { "key": "2026-01-02", "count": 1, "amount": { "USD": 161 } },
                { "key": "2026-01-01", "count": 3, "amount": { "USD": 101 + 102 + 104 } },
            ])
        );
    })
    .await;
}

#[tokio::test]
async fn search_away_is_said_so() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| settings.search.url = "http://127.0.0.1:9".into())
            .await;
        let shop = stand.shop(&url);
        for path in ["/v1/search/orders", "/v1/search/orders/summary?by=day"] {
            let answer = shop.get(path).await;
            answer.problem(503, "search_unavailable");
            assert!(!answer.header("retry-after").is_empty());
        }
        let no_index = stand.shop(&stand.start().await);
        no_index
            .get("/v1/search/orders")
            .await
            .problem(503, "search_unavailable");
    })
    .await;
}
