//! An index of the test's own, filled by hand.

use crate::client::Client;
use crate::stand::{Stand, variable, with_stand};
use serde_json::{Value, json};

pub struct Index {
    pub http: reqwest::Client,
    /// Of Elasticsearch.
    pub url: String,
    orders: String,
    follower: String,
}

impl Index {
    async fn make(stand: &Stand) -> Self {
        let index = Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: variable("HOLDFAST_SEARCH_URL"),
            orders: format!("t-{}-orders-v1", stand.run),
            follower: format!("t-{}-follower", stand.run),
        };
        let (keyword, long) = (json!({ "type": "keyword" }), json!({ "type": "long" }));
        let time = json!({ "type": "date_nanos" });
        let alias = format!("t-{}-orders", stand.run);
        let orders = json!({
            "settings": { "number_of_shards": 1, "number_of_replicas": 0 },
            "aliases": { alias: {} },
            "mappings": { "dynamic": "strict", "properties": {
                "order_id": keyword, "tenant": keyword, "merchant": keyword, "status": keyword,
                "reason": keyword, "payer": keyword, "payee": keyword, "amount": long,
                "captured": long, "refunded": long, "currency": keyword, "reference": keyword,
                "description": { "type": "text" }, "accepted_at": time, "created_at": time,
                "updated_at": time, "version": long, "shard": keyword,
            }},
        });
        index.put(&index.orders, &orders).await;
        index
    }

    async fn put(&self, path: &str, body: &Value) {
        let url = format!("{}/{path}", self.url);
        let answer = self.http.put(url).json(body).send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }

    pub async fn add(&self, number: u32, change: Value) {
        self.add_all([(number, change)]).await;
    }

    /// Adds or replaces orders, each with what sets it apart.
    pub async fn add_all(&self, orders: impl IntoIterator<Item = (u32, Value)>) {
        let mut lines = String::new();
        for (number, change) in orders {
            let document = document(number, &change);
            let id = &document["order_id"];
            lines += &format!("{}\n{document}\n", json!({ "index": { "_id": id } }));
        }
        let url = format!("{}/{}/_bulk?refresh=true", self.url, self.orders);
        let request = self.http.post(url).body(lines);
        let request = request.header("content-type", "application/x-ndjson");
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["errors"], false, "{answer}");
    }

    pub async fn delete(&self, number: u32) {
        let path = format!("{}/_doc/{}?refresh=true", self.orders, order_id(number));
        let deleted = self
            .http
            .delete(format!("{}/{path}", self.url))
            .send()
            .await;
        assert_eq!(deleted.unwrap().status(), 200);
    }

    pub async fn followed(&self, shard: &str, as_of: &str) {
        let path = format!("{}/_doc/{shard}", self.follower);
        self.put(&path, &json!({ "as_of": as_of })).await;
    }

    async fn remove(&self) {
        for index in [&self.orders, &self.follower] {
            let deleted = self
                .http
                .delete(format!("{}/{index}", self.url))
                .send()
                .await;
            deleted.unwrap();
        }
    }
}

pub fn account(number: u32) -> String {
    format!("acct_{number:032x}")
}

/// Runs a test on a stand with such an index, and removes it also when the test fails.
pub async fn with_index<F: Future<Output = ()>>(
    test: impl FnOnce(&'static Stand, &'static Index, Client) -> F,
) {
    with_stand(async |stand| {
        let url = stand.start().await;
        let index: &'static Index = Box::leak(Box::new(Index::make(stand).await));
        let tested = test(stand, index, stand.shop(&url));
        let outcome = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(tested));
        let outcome = outcome.await;
        index.remove().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

/// The id of the order of this number.
pub fn order_id(number: u32) -> String {
    format!("ord_{number:032x}")
}

fn document(number: u32, change: &Value) -> Value {
    // Many an order has the time of another.
    let (day, minute) = (1 + number / 60 % 28, number % 60);
    let time = format!("2026-01-{day:02}T10:{minute:02}:00.000001Z");
    let mut document = json!({
        "order_id": order_id(number), "tenant": "demo", "merchant": "shop", "status": "paid",
        "payer": account(number % 3), "payee": account(9), "amount": 100 + i64::from(number),
        "captured": 0, "refunded": 0, "currency": "USD", "reference": format!("r-{number}"),
        "description": "two compact discs", "accepted_at": time, "created_at": time,
        "updated_at": time, "version": 3, "shard": "orders-0",
    });
    for (name, value) in change.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}
