//! What a test asks Elasticsearch.

use cdc_sync::search_client::{SearchClient, SearchError};
use domain::OrderId;
use reqwest::Method;
use serde_json::{Value, json};
use service::search::SearchSettings;

pub struct Search {
    client: SearchClient,
    shards: Vec<String>,
}

impl Search {
    /// Asks for what is known of so many order shards.
    pub fn new(settings: &SearchSettings, shards: usize) -> Self {
        Self {
            client: SearchClient::new(settings).unwrap(),
            shards: (0..shards).map(|index| format!("orders-{index}")).collect(),
        }
    }

    pub fn client(&self) -> &SearchClient {
        &self.client
    }

    fn names(&self) -> &SearchSettings {
        self.client.names()
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<Value> {
        self.client.json(method, path, body.as_ref()).await.ok()
    }

    /// The document as it is now, with `_version`, `_seq_no` and `_source`.
    pub async fn document(&self, id: &OrderId) -> Option<Value> {
        let path = format!("/{}/_doc/{id}", self.names().alias);
        self.ask(Method::GET, &path, None).await
    }

    pub async fn seq_no(&self, id: &OrderId) -> i64 {
        self.document(id).await.unwrap()["_seq_no"]
            .as_i64()
            .unwrap()
    }

    /// Id, version and status of every document that a search finds, sorted. Nothing is refreshed.
    pub async fn found(&self) -> Vec<(String, u64, String)> {
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut body = json!({
                "size": 5000, "query": { "match_all": {} }, "sort": [{ "order_id": "asc" }],
                "_source": ["order_id", "version", "status"], "track_total_hits": false,
            });
            if !after.is_null() {
                body["search_after"] = after;
            }
            let path = format!("/{}/_search", self.names().alias);
            let answer = self.client.json(Method::POST, &path, Some(&body)).await;
            let answer = match answer {
                Ok(answer) => answer,
                // No follower has made it yet.
                Err(SearchError::Definite(text)) if text.contains("index_not_found") => {
                    return found;
                }
                Err(error) => panic!("{error}"),
            };
            let hits = answer["hits"]["hits"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let Some(last) = hits.last() else {
                return found;
            };
            after = last["sort"].clone();
            found.extend(hits.iter().map(|hit| state(&hit["_source"])));
        }
    }

    /// Like [`Self::found`], after a refresh.
    pub async fn states(&self) -> Vec<(String, u64, String)> {
        let path = format!("/{}/_refresh", self.names().alias);
        self.ask(Method::POST, &path, None).await;
        self.found().await
    }

    pub async fn saved_position(&self, shard: &str) -> Option<Value> {
        let path = format!("/{}/_doc/{shard}", self.names().follower_index);
        let mut answer = self.ask(Method::GET, &path, None).await?;
        Some(answer["_source"].take())
    }

    /// The oldest `as_of` of all shards, as readers take it; empty while one has none.
    pub async fn as_of(&self) -> String {
        let saved = cdc_sync::position::load(&self.client, &self.shards).await;
        let times = saved.into_iter().flatten();
        let times = times.map(|saved| saved.map_or(String::new(), |saved| saved.as_of));
        times.min().unwrap_or_default()
    }

    /// How often the orders were refreshed.
    pub async fn refreshes(&self) -> u64 {
        let path = format!("/{}/_stats/refresh", self.names().alias);
        let answer = self.ask(Method::GET, &path, None).await.unwrap();
        let refresh = &answer["_all"]["primaries"]["refresh"];
        refresh["external_total"].as_u64().unwrap()
    }

    pub async fn dead_letters(&self) -> Vec<Value> {
        let index = cdc_sync::index::dead_letter_index(self.names());
        self.ask(Method::POST, &format!("/{index}/_refresh"), None)
            .await;
        let answer = self
            .ask(Method::GET, &format!("/{index}/_search?size=100"), None)
            .await;
        let hits = answer.unwrap_or_default()["hits"]["hits"]
            .as_array()
            .cloned();
        hits.unwrap_or_default()
            .into_iter()
            .map(|mut hit| hit["_source"].take())
            .collect()
    }

    pub async fn remove(&self, prefix: &str) {
        let names = self.names();
        let dead_letters = cdc_sync::index::dead_letter_index(names);
        let rebuilt = format!("{}2", names.index.trim_end_matches('1'));
        for index in [&names.index, &rebuilt, &names.follower_index, &dead_letters] {
            assert!(index.starts_with(prefix));
            self.ask(Method::DELETE, &format!("/{index}"), None).await;
        }
    }
}

fn state(source: &Value) -> (String, u64, String) {
    let text = |name: &str| source[name].as_str().unwrap().to_owned();
    (
        text("order_id"),
        source["version"].as_u64().unwrap(),
        text("status"),
    )
}
