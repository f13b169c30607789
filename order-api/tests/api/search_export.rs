//! Exports of a search.

use crate::client::{Client, send};
use crate::search_gate::Gate;
use crate::search_index::{Index, account, order_id, with_index};
use crate::stand::Stand;
use crate::tokens::ALL_SCOPES;
use order_api::Settings;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// As many as the service reads at once.
pub const PAGE: u32 = 1_000;
const HEADER: &str = "id,status,reason,merchant,payer,payee,amount,currency,captured,refunded,\
                      reference,description,version,created_at,updated_at";

/// The answer to an export that is granted, not read yet.
pub async fn begin(client: &Client, query: &str) -> Response {
    let path = format!("/v1/search/orders?{query}");
    let answer = client.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{query}");
    answer
}

/// Of an answer; empty where it has none.
pub fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// All of an export.
pub async fn text(client: &Client, query: &str) -> String {
    begin(client, query).await.text().await.unwrap()
}

/// The orders of an export, in its order.
pub fn ids(ndjson: &str) -> Vec<String> {
    let id = |line: &str| {
        let order: Value = serde_json::from_str(line).unwrap();
        order["id"].as_str().unwrap().to_owned()
    };
    ndjson.lines().map(id).collect()
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.has_headers(false).from_reader(text.as_bytes());
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| row.iter().map(str::to_owned).collect())
        .collect()
}

/// An API process that searches through a gate.
pub async fn start_behind_gate(
    stand: &Stand,
    index: &Index,
    change: impl FnOnce(&mut Settings),
) -> (Client, Arc<Gate>) {
    let gate = Gate::before(&index.url).await;
    let url = gate.url.clone();
    let started = stand.start_with(|settings| {
        settings.search.url = url;
        change(settings);
    });
    (stand.shop(&started.await), gate)
}

/// Adds orders of these numbers, with nothing special to them.
pub async fn add_plain(index: &Index, numbers: std::ops::Range<u32>) {
    index
        .add_all(numbers.map(|number| (number, json!({}))))
        .await;
}

#[tokio::test]
async fn an_export_holds_every_order_once_in_its_sort_while_orders_change() {
    with_index(async |stand, index, _| {
        let orders = 3 * PAGE + 500;
        add_plain(index, 0..orders).await;
        let (shop, gate) = start_behind_gate(stand, index, |_| ()).await;
        let created = |n: &u32| (n / 60 % 28, n % 60, *n);
        let mut by_creation: Vec<u32> = (0..orders).collect();
        by_creation.sort_by_key(created);
        let by_amount = (0..orders).collect::<Vec<_>>();
        let cases = [
            ("", &by_creation, true),
            ("&sort=created_at", &by_creation, false),
            ("&sort=-updated_at", &by_creation, true),
            ("&sort=updated_at", &by_creation, false),
            ("&sort=amount", &by_amount, false),
            ("&sort=-amount", &by_amount, true),
        ];
        for (sort, expected, descends) in cases {
            gate.shut();
            gate.let_pass(1);
            let answer = begin(&shop, &format!("format=ndjson{sort}")).await;
            assert_eq!(header(&answer, "content-type"), "application/x-ndjson");
            // Some jump to where they would be met twice or never, some stop fitting.
            let moved = json!({ "amount": 1_000_000, "accepted_at": "2027-01-01T00:00:00Z" });
            let moves = [5, orders - 5, 2 * PAGE].map(|number| (number, moved.clone()));
            index.add_all(moves).await;
            index.add(orders + 1, json!({})).await;
            index.add(orders / 2, json!({ "tenant": "other" })).await;
            gate.let_pass(100);
            let mut expected: Vec<_> = expected.iter().map(|number| order_id(*number)).collect();
            if descends {
                expected.reverse();
            }
            let found = ids(&answer.text().await.unwrap());
            assert!(found == expected, "{sort}: {} orders", found.len());
            index.delete(orders + 1).await;
            let restored = [5, orders - 5, 2 * PAGE, orders / 2];
            index
                .add_all(restored.map(|number| (number, json!({}))))
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_export_reads_over_gaps_and_crowds() {
    with_index(async |_, index, shop| {
        // A page of neighbours, a few far away, more than a page in one place, and neighbours again.
        let amount = |number: u32| match number {
            0..1_200 => i64::from(number),
            1_200..1_210 => i64::from(number) * 1_000_000,
            1_210..2_800 => 50_000_000_000,
            _ => 60_000_000_000 + i64::from(number),
        };
        let change = |number: u32| {
            let seconds = 1_769_853_600 + amount(number);
            let time = chrono::DateTime::from_timestamp(seconds / 10, 1_000).unwrap();
            json!({ "amount": amount(number), "accepted_at": time, "updated_at": time })
        };
        let orders = 4_300;
        index.add_all((0..orders).map(|n| (n, change(n)))).await;
        let mut expected: Vec<_> = (0..orders).map(order_id).collect();
        for ascends in [true, false] {
            for field in ["created_at", "updated_at", "amount"] {
                let sort = if ascends { "" } else { "-" };
                let sort = format!("{sort}{field}");
                let found = ids(&text(&shop, &format!("format=ndjson&sort={sort}")).await);
                assert!(found == expected, "{sort}: {} orders", found.len());
            }
            expected.reverse();
        }
    })
    .await;
}

#[tokio::test]
async fn an_export_finds_what_the_search_finds_and_nothing_of_others() {
    with_index(async |stand, index, shop| {
        let changes = [
            json!({}),
            json!({ "status": "cancelled", "reason": "expired" }),
            json!({ "currency": "EUR", "description": "one vinyl record" }),
            json!({ "merchant": "rival" }),
            json!({ "tenant": "other" }),
        ];
        index.add_all((1..).zip(changes)).await;
        index.followed("orders-0", "2026-02-01T00:00:00Z").await;
        index.followed("orders-1", "2026-02-02T00:00:00Z").await;
        for query in [
            "",
            "status=cancelled&reason=expired",
            "currency=EUR",
            "reference=r-2",
            "merchant=rival",
            "amount_min=102&sort=amount",
            "created_from=2026-01-01T10:02:00Z&q=vinyl",
            "consistency=search",
            &format!("payer={}", account(1)),
        ] {
            let page = shop.get(&format!("/v1/search/orders?{query}")).await;
            let shown = page.body["data"].as_array().unwrap();
            let exported = text(&shop, &format!("format=ndjson&{query}")).await;
            let exported: Vec<Value> = exported
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(&exported, shown, "{query}");
        }
        let office = stand.client(&shop.url, "demo", None, ALL_SCOPES);
        let all = text(&office, "format=ndjson&sort=amount").await;
        assert_eq!(ids(&all), [1, 2, 3, 4].map(order_id));
        let answer = begin(&shop, "format=csv&status=cancelled").await;
        assert_eq!(header(&answer, "content-type"), "text/csv; charset=utf-8");
        let name = "attachment; filename=\"orders.csv\"";
        assert_eq!(header(&answer, "content-disposition"), name);
        assert_eq!(header(&answer, "cache-control"), "no-store");
        let as_of = "2026-02-01T00:00:00.000000Z";
        assert_eq!(header(&answer, "export-as-of"), as_of);
        let row = format!(
            "{},cancelled,expired,shop,{},{},102,USD,0,0,r-2,two compact discs,3,\
             2026-01-01T10:02:00.000001Z,2026-01-01T10:02:00.000001Z",
            order_id(2),
            account(2),
            account(9)
        );
        let expected = format!("{HEADER}\r\n{row}\r\n");
        assert_eq!(answer.text().await.unwrap(), expected);
        let nothing = text(&shop, "format=csv&status=processing").await;
        assert_eq!(nothing, format!("{HEADER}\r\n"));
        assert_eq!(text(&shop, "format=ndjson&status=processing").await, "");
    })
    .await;
}

#[tokio::test]
async fn formulas_in_texts_are_neutralised_in_csv_and_left_in_ndjson() {
    with_index(async |_, index, shop| {
        let texts = [
            ("=1+1", "@SUM(A1)"),
            ("+1", "\t=1"),
            ("-1", "\r\n=cmd|' /C calc'!A0"),
            ("plain", "a \"quoted\", text\r\nof two lines"),
        ];
        let change = |(reference, description): &(&str, &str)| {
            json!({ "reference": reference, "description": description })
        };
        index.add_all((1..).zip(texts.iter().map(change))).await;
        let rows = csv_rows(&text(&shop, "format=csv&sort=amount").await);
        let lines = text(&shop, "format=ndjson&sort=amount").await;
        assert_eq!(rows.len(), 5);
        for ((row, line), (reference, description)) in
            rows[1..].iter().zip(lines.lines()).zip(texts)
        {
            let order: Value = serde_json::from_str(line).unwrap();
            assert_eq!(order["reference"], reference);
            assert_eq!(order["description"], description);
            let apostrophe = if reference == "plain" { "" } else { "'" };
            assert_eq!(row[10], format!("{apostrophe}{reference}"));
            assert_eq!(row[11], format!("{apostrophe}{description}"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_does_not_go_with_an_export_is_named() {
    with_index(async |stand, index, shop| {
        add_plain(index, 0..2).await;
        let path = |query: &str| format!("/v1/search/orders?{query}");
        let strict = shop.get(&path("consistency=strict&limit=1")).await;
        let strict = format!("format=csv&cursor={}", strict.text("next_cursor"));
        let after = format!("format=csv&after={}", order_id(1));
        let after_page = format!("after={}", order_id(1));
        for (query, name) in [
            ("format=xls", "format"),
            ("format=", "format"),
            ("format=csv&limit=5", "limit"),
            ("format=csv&consistency=strict", "consistency"),
            ("format=csv&consistency=perhaps", "consistency"),
            (&strict, "cursor"),
            (&after, "after"),
            (&after_page, "after"),
            ("format=csv&status=payed", "status"),
            ("format=csv&colour=red", "colour"),
        ] {
            let answer = shop.get(&path(query)).await;
            answer.problem(400, "invalid_parameter").pointers(&[name]);
        }
        let old = shop.request(Method::GET, &path("format=csv"));
        let old = send(old.version(reqwest::Version::HTTP_10)).await;
        old.problem(400, "invalid_parameter").pointers(&["format"]);
        let teller = stand.client(&shop.url, "demo", Some("shop"), "orders:read");
        let refused = teller.get(&path("format=csv")).await;
        refused.problem(403, "scope_missing");
        assert_eq!(shop.get(&path("format=json&limit=1")).await.status, 200);
    })
    .await;
}
