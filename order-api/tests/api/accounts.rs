//! Opening, showing, funding and closing accounts.

use crate::client::{Client, send};
use crate::stand::with_stand;
use crate::tokens::ALL_SCOPES;
use reqwest::Method;
use serde_json::{Value, json};

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
