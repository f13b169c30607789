//! Statements and their exports.

use crate::client::{Client, send};
use crate::stand::{Stand, with_stand};
use crate::tokens::ALL_SCOPES;
use domain::{AccountId, Xid};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use store::{Funding, Scope, Stores};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const OFFICE: Scope<'_> = Scope {
    tenant: "demo",
    merchant: None,
};

/// A customer's account with this many fundings, of 1, 2, 3 and so on.
async fn funded(stand: &Stand, shop: &Client, fundings: i64) -> String {
    let body = json!({ "kind": "customer", "currency": "USD", "name": "Ada" });
    let opened = send(shop.request(Method::POST, "/v1/accounts").json(&body)).await;
    let account: AccountId = opened.text("id").parse().unwrap();
    let stores = Stores::connect(&stand.settings().stores).unwrap();
    for number in 1..=fundings {
        let funding = Funding {
            xid: Xid::from_bytes(rand::random()),
            account,
            amount: number,
            currency: "USD".parse().unwrap(),
        };
        stores.accounts.fund(OFFICE, &funding).await.unwrap();
    }
    stores.close().await;
    account.to_string()
}

/// Adds this many entries of 1 to an account that has one.
async fn pad(stand: &Stand, account: AccountId, entries: usize) {
    let mut conn = stand.account_shard_of(account).await;
    let last = entries as u64 + 1;
    let rows = format!("[{}]", vec!["0"; entries].join(","));
    sqlx::query(
        "INSERT INTO entries (account, number, xid, leg, delta, balance_after, booked_at)
         SELECT ?, n + 1, UNHEX(LEFT(SHA2(n, 256), 32)), 1, 1, n + 1, UTC_TIMESTAMP(6)
         FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY)) d",
    )
    .bind(&account.as_bytes()[..])
    .bind(rows)
    .execute(&mut conn)
    .await
    .unwrap();
    sqlx::query("UPDATE accounts SET last_entry = ?, ledger_balance = ? WHERE id = ?")
        .bind(last)
        .bind(last)
        .bind(&account.as_bytes()[..])
        .execute(&mut conn)
        .await
        .unwrap();
}

fn numbers(page: &Value) -> Vec<u64> {
    let lines = page["data"].as_array().unwrap().iter();
    lines.map(|line| line["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_statement_adds_up_page_by_page() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let account = funded(stand, &shop, 5).await;
        let path = format!("/v1/accounts/{account}/statement");
        let whole = shop.get(&path).await;
        assert_eq!(whole.status, 200, "{whole:?}");
        assert_eq!(numbers(&whole.body), [1, 2, 3, 4, 5]);
        assert_eq!(whole.body["opening_balance"], 0);
        assert_eq!(whole.body["closing_balance"], 15);
        assert_eq!(whole.body["entries"], 5);
        assert_eq!(whole.body["next_after"], Value::Null);
        let line = &whole.body["data"][4];
        assert_eq!(
            (&line["kind"], &line["amount"]),
            (&json!("funding"), &json!(5))
        );
        assert_eq!(line["balance_after"], 15);
        assert!(line["of"].as_str().unwrap().starts_with("xid_"), "{line}");

        let third = whole.body["data"][2]["booked_at"].as_str().unwrap();
        let fifth = line["booked_at"].as_str().unwrap();
        let part = shop.get(&format!("{path}?from={third}&to={fifth}")).await;
        assert_eq!(numbers(&part.body), [3, 4]);
        assert_eq!(part.body["opening_balance"], 3);
        assert_eq!(part.body["closing_balance"], 10);

        let mut after = json!(0);
        let mut seen = Vec::new();
        while !after.is_null() {
            let page = shop.get(&format!("{path}?limit=2&after={after}")).await;
            seen.extend(numbers(&page.body));
            after = page.body["next_after"].clone();
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    })
    .await;
}

#[tokio::test]
async fn the_days_of_a_statement_add_up() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let account = funded(stand, &shop, 4).await;
        let days = shop
            .get(&format!("/v1/accounts/{account}/statement/days"))
            .await;
        assert_eq!(days.status, 200, "{days:?}");
        // Midnight may pass on the way.
        let lines = days.body["data"].as_array().unwrap();
        assert!(matches!(lines.len(), 1 | 2), "{days:?}");
        let sum = |field: &str| -> i64 {
            let values = lines.iter().map(|day| day[field].as_i64().unwrap());
            values.sum()
        };
        assert_eq!((sum("credits"), sum("debits"), sum("entries")), (10, 0, 4));
        assert_eq!(lines[0]["opening_balance"], 0);
        assert_eq!(lines[lines.len() - 1]["closing_balance"], 10);
        assert_eq!(days.body["closing_balance"], 10);
    })
    .await;
}

#[tokio::test]
async fn a_statement_is_its_owner_s_and_bad_parameters_are_named() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let account = funded(stand, &shop, 1).await;
        let path = format!("/v1/accounts/{account}/statement");
        for (tenant, merchant) in [("demo", Some("rival")), ("other", None)] {
            let stranger = stand.client(&url, tenant, merchant, ALL_SCOPES);
            for path in [
                path.clone(),
                format!("{path}/days"),
                format!("{path}?format=csv"),
            ] {
                let answer = stranger.get(&path).await;
                answer.problem(404, "account_not_found");
            }
        }
        let searcher = stand.client(&url, "demo", Some("shop"), "search:read");
        searcher.get(&path).await.problem(403, "scope_missing");
        for (query, name) in [
            ("from=yesterday", "from"),
            ("to=1", "to"),
            ("from=2026-02-01&to=2026-01-31", "to"),
            ("after=-1", "after"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("format=xls", "format"),
            ("format=csv&limit=5", "limit"),
            ("colour=red", "colour"),
        ] {
            let answer = shop.get(&format!("{path}?{query}")).await;
            answer.problem(400, "invalid_parameter").pointers(&[name]);
        }
    })
    .await;
}

#[tokio::test]
async fn another_merchant_s_order_is_in_a_statement_by_its_amount_only() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let account = funded(stand, &shop, 1).await;
        pad(stand, account.parse().unwrap(), 2).await;
        let path = format!("/v1/accounts/{account}/statement");
        let seen = shop.get(&path).await;
        let lines = seen.body["data"].as_array().unwrap();
        assert!(lines[0]["of"].is_string(), "{seen:?}");
        for line in &lines[1..] {
            assert_eq!(
                (&line["kind"], &line["of"]),
                (&json!("payment"), &Value::Null)
            );
            assert_eq!(line["amount"], 1);
        }
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        let line = office.get(&path).await.body["data"][1].clone();
        assert!(line["of"].as_str().unwrap().starts_with("ord_"), "{line}");
    })
    .await;
}

#[tokio::test]
async fn exports_and_sums_have_their_limits() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| {
                settings.http.exports_max = 0;
                settings.paging.summed_entries_max = 3;
            })
            .await;
        let shop = stand.shop(&url);
        let path = format!("/v1/accounts/{}/statement", funded(stand, &shop, 4).await);
        let export = shop.get(&format!("{path}?format=csv")).await;
        export.problem(503, "overloaded");
        let days = shop.get(&format!("{path}/days")).await;
        days.problem(400, "invalid_parameter").pointers(&["from"]);
        assert_eq!(shop.get(&path).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn an_export_holds_every_entry_and_goes_on_where_it_broke_off() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let account = funded(stand, &shop, 3).await;
        let path = format!("/v1/accounts/{account}/statement");
        let text = async |query: &str| {
            let request = shop.request(Method::GET, &format!("{path}?{query}"));
            let answer = request.send().await.unwrap();
            let kind = answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            (kind, answer.text().await.unwrap())
        };
        let (kind, csv) = text("format=csv").await;
        assert_eq!(kind, "text/csv; charset=utf-8");
        let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
        let header = "number,booked_at,kind,of,amount,balance_after,currency";
        assert_eq!((lines.len(), lines[0]), (4, header));
        assert!(lines[3].starts_with("3,20"), "{}", lines[3]);
        assert!(lines[3].ends_with(",3,6,USD"), "{}", lines[3]);

        let (_, rest) = text("format=csv&after=1").await;
        assert_eq!(rest, format!("{}\r\n{}\r\n", lines[2], lines[3]));
        let (kind, rest) = text("format=ndjson&after=1").await;
        assert_eq!(kind, "application/x-ndjson");
        let rest: Vec<Value> = rest
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let balances: Vec<_> = rest.iter().map(|line| &line["balance_after"]).collect();
        assert_eq!(balances, [&json!(3), &json!(6)]);
        assert_eq!(rest[0]["currency"], "USD");
        let old = shop.request(Method::GET, &format!("{path}?format=csv"));
        let old = send(old.version(reqwest::Version::HTTP_10)).await;
        old.problem(400, "invalid_parameter").pointers(&["format"]);
        let (_, none) = text("format=ndjson&after=3").await;
        assert_eq!(none, "");
        let (_, empty) = text("format=csv&to=2000-01-01").await;
        assert_eq!(empty, format!("{header}\r\n"));
    })
    .await;
}

#[tokio::test]
async fn who_asks_for_an_export_and_does_not_read_it_is_let_go() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| {
                settings.http.unread_timeout_ms = 1_000;
                settings.http.exports_max = 1;
            })
            .await;
        let shop = stand.shop(&url);
        let account = funded(stand, &shop, 1).await;
        pad(stand, account.parse().unwrap(), 60_000).await;
        let path = format!("/v1/accounts/{account}/statement?format=ndjson");
        let request = shop.request(Method::GET, &path).build().unwrap();
        let token = request.headers()["authorization"].to_str().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = url.trim_start_matches("http://").parse().unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let mut read = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut read));
        let ended = ended.await.unwrap();
        assert!(
            ended.is_err(),
            "the whole export came: {} bytes",
            read.len()
        );
    })
    .await;
}
