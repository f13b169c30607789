//! Opening, showing, funding and closing accounts.

use crate::client::{Client, send};
use crate::stand::with_stand;
use crate::tokens::ALL_SCOPES;
use domain::{AccountId, AccountKind, Xid};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::{AccountStore, Funding, NewAccount, Scope, Stores};

async fn open(client: &Client, body: &Value) -> Value {
    let answer = send(client.request(Method::POST, "/v1/accounts").json(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        answer.header("location"),
        format!("/v1/accounts/{}", answer.text("id"))
    );
    answer.body
}

fn customer() -> Value {
    json!({ "kind": "customer", "currency": "USD", "name": "Ada" })
}

#[tokio::test]
async fn an_account_is_opened_funded_and_closed_by_its_own_merchant_only() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let account = open(&shop, &customer()).await;
        let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
        let money = json!({ "amount": 5000, "currency": "USD" });
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        for stranger in [
            ("demo", Some("rival")),
            ("other", Some("shop")),
            ("other", None),
        ] {
            let stranger = stand.client(&url, stranger.0, stranger.1, ALL_SCOPES);
            stranger.get(&path).await.problem(404, "account_not_found");
            let funding = stranger.post(&format!("{path}/funding"), "f", &money).await;
            funding.problem(404, "account_not_found");
            let close = send(stranger.request(Method::POST, &format!("{path}/close"))).await;
            close.problem(404, "account_not_found");
        }
        let funded = office.post(&format!("{path}/funding"), "f", &money).await;
        assert_eq!(funded.status, 201, "{funded:?}");
        assert_eq!(funded.body["balance_after"], 5000);
        let again = office.post(&format!("{path}/funding"), "f", &money).await;
        assert_eq!(
            (again.status.as_u16(), again.header("idempotent-replayed")),
            (201, "true")
        );
        assert_eq!(again.body, funded.body);
        let more = json!({ "amount": 5001, "currency": "USD" });
        let reused = office.post(&format!("{path}/funding"), "f", &more).await;
        reused.problem(422, "idempotency_key_reused");
        for (name, value) in [
            ("amount", json!(0)),
            ("amount", json!(1.5)),
            ("currency", json!("X")),
        ] {
            let mut bad = money.clone();
            bad[name] = value;
            let answer = office.post(&format!("{path}/funding"), "g", &bad).await;
            answer
                .problem(400, "invalid_body")
                .pointers(&[&format!("/{name}")]);
        }
        let euros = json!({ "amount": 1, "currency": "EUR" });
        let answer = office.post(&format!("{path}/funding"), "e", &euros).await;
        answer
            .problem(422, "currency_mismatch")
            .pointers(&["/currency"]);
        let keyless = office
            .request(Method::POST, &format!("{path}/funding"))
            .json(&money);
        send(keyless).await.problem(400, "idempotency_key_missing");
        let seen = shop.get(&path).await;
        assert_eq!(seen.body["ledger_balance"], 5000, "{seen:?}");
        assert_eq!(seen.body["held"], 0);
        assert_eq!(seen.body["available_balance"], 5000);
        for _ in 0..2 {
            let closed = send(shop.request(Method::POST, &format!("{path}/close"))).await;
            assert_eq!(
                (closed.status.as_u16(), closed.text("status")),
                (200, "closed")
            );
        }
        let late = office
            .post(&format!("{path}/funding"), "late", &money)
            .await;
        late.problem(409, "account_closed");
    })
    .await;
}

#[tokio::test]
async fn an_account_opened_twice_with_one_key_is_one_account() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let first = shop.post("/v1/accounts", "k", &customer()).await;
        assert_eq!(
            (first.status.as_u16(), first.header("idempotent-replayed")),
            (201, "")
        );
        let again = shop.post("/v1/accounts", "k", &customer()).await;
        assert_eq!(
            (again.status.as_u16(), again.header("idempotent-replayed")),
            (201, "true")
        );
        assert_eq!(again.body, first.body);
        let other = json!({ "kind": "customer", "currency": "USD", "name": "Eve" });
        let reused = shop.post("/v1/accounts", "k", &other).await;
        reused.problem(422, "idempotency_key_reused");
        let keyless = [
            open(&shop, &customer()).await,
            open(&shop, &customer()).await,
        ];
        assert_ne!(keyless[0]["id"], keyless[1]["id"]);
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        let theirs = office.post("/v1/accounts", "k", &customer()).await;
        assert_eq!(theirs.status, 201);
        assert_ne!(theirs.body["id"], first.body["id"]);
        assert_eq!(theirs.body["merchant"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn the_system_s_accounts_cannot_be_opened_or_seen() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let shop = stand.shop(&url);
        let cases = [
            ("kind", json!("external")),
            ("kind", json!("bank")),
            ("currency", json!("dollars")),
            ("name", json!("")),
            ("name", json!("x".repeat(201))),
            ("credit_limit", json!(1_000_000)),
        ];
        for (name, value) in cases {
            let mut body = customer();
            body[name] = value;
            let answer = shop.post("/v1/accounts", "k", &body).await;
            answer
                .problem(400, "invalid_body")
                .pointers(&[&format!("/{name}")]);
        }
        let merchant = json!({ "kind": "merchant", "currency": "USD", "name": "Till" });
        assert_eq!(open(&shop, &merchant).await["merchant"], "shop");
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        let answer = office.post("/v1/accounts", "m", &merchant).await;
        answer.problem(403, "merchant_required");
        shop.get("/v1/accounts/acct_1")
            .await
            .problem(404, "account_not_found");
    })
    .await;
}

const OFFICE: Scope<'_> = Scope {
    tenant: "demo",
    merchant: None,
};

fn any_customer() -> NewAccount {
    NewAccount {
        id: AccountId::from_bytes(rand::random()),
        tenant: "demo".into(),
        merchant: None,
        kind: AccountKind::Customer,
        currency: "USD".parse().unwrap(),
        name: "Ada".into(),
        body_digest: None,
    }
}

/// Begins a funding and drops it after some microseconds, wherever it stands: often in BEGIN.
async fn drop_a_funding(accounts: &AccountStore, account: AccountId) {
    let funding = Funding {
        xid: Xid::from_bytes(rand::random()),
        account,
        amount: 1,
        currency: "USD".parse().unwrap(),
    };
    let time = Duration::from_micros(rand::random_range(0..800));
    let begun = Instant::now();
    let up = async {
        while begun.elapsed() < time {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = accounts.fund(OFFICE, &funding) => {}
        () = up => {}
    }
}

/// Opens accounts at once, so that every connection has a part in it; the others must see them.
async fn assert_no_connection_keeps_its_work_to_itself(
    accounts: &AccountStore,
    others: &AccountStore,
) {
    let opened: Vec<NewAccount> = (0..16).map(|_| any_customer()).collect();
    for answer in join_all(opened.iter().map(|new| accounts.open(new))).await {
        answer.unwrap();
    }
    for found in join_all(opened.iter().map(|new| others.find(OFFICE, new.id))).await {
        assert!(
            found.unwrap().is_some(),
            "it is in no transaction but its own"
        );
    }
}

#[tokio::test]
async fn a_funding_dropped_at_any_point_leaves_no_transaction_open() {
    with_stand(async |stand| {
        let stores = Stores::connect(&stand.settings().stores).unwrap();
        let account = any_customer();
        stores.accounts.open(&account).await.unwrap();
        let others = Stores::connect(&stand.settings().stores).unwrap();
        for _ in 0..40 {
            let dropped = (0..8).map(|_| drop_a_funding(&stores.accounts, account.id));
            join_all(dropped).await;
            assert_no_connection_keeps_its_work_to_itself(&stores.accounts, &others.accounts).await;
        }
        stores.close().await;
        others.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_of_a_funding_who_hangs_up_and_repeats_finds_it_booked_once() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        let account = open(&office, &customer()).await;
        let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
        let money = json!({ "amount": 1, "currency": "USD" });
        for number in 0..40_u64 {
            let (office, path, money) = (office.clone(), path.clone(), money.clone());
            let asked = tokio::spawn(async move {
                let key = format!("f{number}");
                office.post(&format!("{path}/funding"), &key, &money).await
            });
            tokio::time::sleep(Duration::from_millis(number % 8)).await;
            asked.abort();
        }
        for number in 0..40 {
            let key = format!("f{number}");
            let again = office.post(&format!("{path}/funding"), &key, &money).await;
            assert_eq!(again.status, 201, "{again:?}");
        }
        let elsewhere = stand.start().await;
        let office = stand.client(&elsewhere, "demo", None, ALL_SCOPES);
        let seen = office.get(&path).await;
        assert_eq!(seen.body["ledger_balance"], 40, "{seen:?}");
    })
    .await;
}

#[tokio::test]
async fn a_funding_whose_caller_hangs_up_comes_to_its_end() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        let account = open(&office, &customer()).await;
        let id: AccountId = account["id"].as_str().unwrap().parse().unwrap();
        let path = format!("/v1/accounts/{id}");
        let stores = Stores::connect(&stand.settings().stores).unwrap();
        let shard = stores.pool(stores.routing().account_shard(id));
        let mut locked = shard.begin().await.unwrap();
        let lock = "SELECT 1 FROM accounts WHERE id = ? FOR UPDATE";
        let lock = sqlx::query(lock).bind(id.as_bytes().to_vec());
        lock.fetch_one(&mut *locked).await.unwrap();
        let asked = {
            let (office, path) = (office.clone(), format!("{path}/funding"));
            let money = json!({ "amount": 1, "currency": "USD" });
            tokio::spawn(async move { office.post(&path, "f", &money).await })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!asked.is_finished(), "the row is locked");
        asked.abort();
        tokio::time::sleep(Duration::from_millis(300)).await;
        locked.rollback().await.unwrap();
        let booked = async {
            while office.get(&path).await.body["ledger_balance"] != 1 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let booked = tokio::time::timeout(Duration::from_secs(20), booked).await;
        assert!(booked.is_ok(), "nobody repeats it");
        stores.close().await;
    })
    .await;
}
