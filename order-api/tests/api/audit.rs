//! Who did what: each audited route leaves one entry, and nothing leaves as a file without one.

use crate::client::{Answer, Client, send};
use crate::search_index::with_index;
use crate::stand::{Stand, with_stand};
use crate::tokens::{ALL_SCOPES, claims};
use reqwest::Method;
use serde_json::{Value, json};
use store::Stores;
use store::audit::Entry;

/// Nobody listens here.
const CLOSED: &str = "mysql://nobody:nobody@127.0.0.1:9/nothing";

/// Every entry of every shard, in order of time.
async fn trail(stand: &Stand) -> Vec<Entry> {
    let stores = Stores::connect(&stand.settings().stores).unwrap();
    let mut entries = Vec::new();
    for shard in stores.audit.shards() {
        let check = stores.audit.check(shard, &[], |_, _| ()).await.unwrap();
        assert_eq!(check.broken, None, "{shard}");
        let page = stores.audit.page_before(shard, u64::MAX, 10_000).await;
        entries.extend(page.unwrap());
    }
    entries.sort_by_key(|entry| entry.at);
    stores.close().await;
    entries
}

fn actions(trail: &[Entry]) -> Vec<&str> {
    trail.iter().map(|entry| entry.action.as_str()).collect()
}

fn detail(entry: &Entry) -> Value {
    serde_json::from_str(&entry.detail).unwrap()
}

/// Asks under this request id, with this Idempotency-Key.
async fn ask(client: &Client, method: Method, path: &str, id: &str, body: Value) -> Answer {
    let request = client.request(method, path).header("x-request-id", id);
    let request = request.header("idempotency-key", "k");
    let request = match body {
        Value::Null => request,
        body => request.json(&body),
    };
    send(request).await
}

fn customer() -> Value {
    json!({ "kind": "customer", "currency": "USD", "name": "Ada Lovelace" })
}

#[tokio::test]
async fn each_change_of_an_account_leaves_one_entry_and_a_repeated_one_none() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let mut who = claims("demo", Some("shop"), ALL_SCOPES);
        who["sub"] = "ada@example".into();
        who["jti"] = "t-1".into();
        let shop = Client::new(&url, Some(stand.keys.ed25519(&who)));
        let money = json!({ "amount": 70, "currency": "USD" });
        let opened = ask(&shop, Method::POST, "/v1/accounts", "r-open", customer()).await;
        let id = opened.text("id").to_owned();
        let path = format!("/v1/accounts/{id}");
        let steps = [
            (Method::POST, "/v1/accounts".to_owned(), customer()),
            (Method::POST, format!("{path}/funding"), money),
            (Method::POST, format!("{path}/close"), Value::Null),
        ];
        for (number, (method, to, body)) in steps.iter().enumerate() {
            for _ in 0..3 {
                let id = format!("r-{number}");
                let answer = ask(&shop, method.clone(), to, &id, body.clone()).await;
                assert!(answer.status.is_success(), "{answer:?}");
            }
        }
        // Looking leaves nothing, being refused neither.
        for look in [
            path.clone(),
            format!("{path}/statement"),
            format!("{path}/statement/days"),
        ] {
            assert_eq!(shop.get(&look).await.status, 200, "{look}");
        }
        let late = json!({ "amount": 1, "currency": "USD" });
        let refused = shop.post(&format!("{path}/funding"), "late", &late).await;
        refused.problem(409, "account_closed");

        let trail = trail(stand).await;
        assert_eq!(
            actions(&trail),
            ["account.opened", "account.funded", "account.closed"]
        );
        let requests: Vec<_> = trail.iter().map(|e| e.request_id.as_str()).collect();
        assert_eq!(requests, ["r-open", "r-1", "r-2"]);
        for entry in &trail {
            let Entry {
                actor, via, tenant, ..
            } = entry;
            assert_eq!((actor.as_str(), via.as_str()), ("ada@example", "api"));
            assert_eq!((&entry.object, tenant.as_str()), (&id, "demo"));
            assert_eq!(detail(entry)["token"], "ed/t-1");
            assert!(!entry.detail.contains("Lovelace"), "{entry:?}");
        }
        let funded = detail(&trail[1]);
        assert_eq!(
            (&funded["amount"], &funded["currency"]),
            (&json!(70), &json!("USD"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_token_without_a_subject_is_named_by_its_own_id() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let mut who = claims("demo", None, ALL_SCOPES);
        who.as_object_mut().unwrap().remove("sub");
        who["jti"] = "t-2".into();
        let office = Client::new(&url, Some(stand.keys.ed25519(&who)));
        assert_eq!(
            office.post("/v1/accounts", "k", &customer()).await.status,
            201
        );
        assert_eq!(trail(stand).await[0].actor, "token ed/t-2");
    })
    .await;
}

#[tokio::test]
async fn each_export_leaves_one_entry_that_says_of_what() {
    with_index(async |stand, index, shop| {
        index.add_all((0..3).map(|n| (n, json!({})))).await;
        let opened = shop.post("/v1/accounts", "k", &customer()).await;
        let id = opened.text("id").to_owned();
        let statement = format!("/v1/accounts/{id}/statement");
        for path in [
            format!("{statement}?format=csv"),
            "/v1/search/orders?format=ndjson&status=paid&amount_min=101".to_owned(),
        ] {
            let answer = ask(&shop, Method::GET, &path, "r-export", Value::Null).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        // A page is no export, and what is refused is none.
        assert_eq!(shop.get("/v1/search/orders?status=paid").await.status, 200);
        let refused = shop.get("/v1/search/orders?format=csv&limit=5").await;
        refused.problem(400, "invalid_parameter");
        let refused = shop.get(&format!("{statement}?format=csv&limit=5")).await;
        refused.problem(400, "invalid_parameter");

        let trail = trail(stand).await;
        let expected = ["account.opened", "statement.exported", "orders.exported"];
        assert_eq!(actions(&trail), expected);
        for entry in &trail[1..] {
            assert_eq!(
                (entry.actor.as_str(), entry.request_id.as_str()),
                ("test", "r-export")
            );
            assert_eq!(detail(entry)["merchant"], "shop");
        }
        assert_eq!(trail[1].object, id);
        let orders = detail(&trail[2]);
        assert_eq!(orders["format"], "ndjson");
        assert_eq!(
            orders["filters"],
            json!({ "status": ["paid"], "amount_min": 101 })
        );
    })
    .await;
}

#[tokio::test]
async fn where_the_trail_cannot_be_written_nothing_is_exported_and_pages_are_shown() {
    with_index(async |stand, index, shop| {
        index.add_all((0..3).map(|n| (n, json!({})))).await;
        let opened = shop.post("/v1/accounts", "k", &customer()).await;
        let statement = format!("/v1/accounts/{}/statement", opened.text("id"));
        let away = stand.start_with(|settings| {
            settings.stores.account_shards = vec![CLOSED.into(); 2];
            settings.stores.connect_timeout_ms = 500;
        });
        let without_shards = stand.shop(&away.await);
        let export = "/v1/search/orders?format=csv";
        let refused = without_shards.get(export).await;
        refused.problem(503, "audit_unavailable");
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(without_shards.get("/v1/search/orders").await.status, 200);
        // The ledger answers, and only the trail does not.
        stand
            .on_account_shards("RENAME TABLE audit TO audit_away")
            .await;
        for export in [export, &format!("{statement}?format=csv")] {
            shop.get(export).await.problem(503, "audit_unavailable");
        }
        assert_eq!(shop.get(&statement).await.status, 200);
        stand
            .on_account_shards("RENAME TABLE audit_away TO audit")
            .await;
        assert_eq!(shop.get(export).await.status, 200);
        let expected = ["account.opened", "orders.exported"];
        assert_eq!(actions(&trail(stand).await), expected);
    })
    .await;
}
