//! The follower as it is shipped, in a process of its own, and the index that it fills: one that no
//! other test has.

use crate::world::{Own, PATIENCE, eventually};
use cdc_sync::search_client::SearchClient;
use reqwest::Method;
use serde_json::{Value, json};
use service::search::SearchSettings;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// An index of a test's own, followed.
pub struct Followed {
    /// The test's own things, with search on.
    pub own: Own,
    /// The same without: other services know no search.
    pub without_search: Own,
    pub client: SearchClient,
    process: Child,
}

impl Followed {
    /// Makes the index and starts following.
    pub async fn start(own: &Own) -> Self {
        let url = std::env::var("HOLDFAST_SEARCH_URL").expect("a stack with Elasticsearch");
        let name = own.group.clone();
        let settings = SearchSettings {
            alias: format!("{name}-orders"),
            index: format!("{name}-orders-v1"),
            follower_index: format!("{name}-follower"),
            ..SearchSettings::of_url(url)
        };
        let (without_search, mut own) = (own.clone(), own.clone());
        for (name, text) in [
            ("HOLDFAST_SEARCH", "on"),
            ("HOLDFAST__SEARCH__URL", &settings.url),
            ("HOLDFAST__SEARCH__ALIAS", &settings.alias),
            ("HOLDFAST__SEARCH__INDEX", &settings.index),
            ("HOLDFAST__SEARCH__FOLLOWER_INDEX", &settings.follower_index),
        ] {
            own.env.insert(name.to_owned(), text.to_owned());
        }
        let setup = own.holdfast(&["setup"]).await;
        assert_eq!(setup.code, 0, "{setup:?}");
        let followed = Self {
            process: spawn(&own),
            client: SearchClient::new(&settings).unwrap(),
            own,
            without_search,
        };
        // So that an older version can be planted over a deleted one.
        followed
            .put_settings(json!({ "index.gc_deletes": "0s" }))
            .await;
        followed
    }

    /// Waits until so many documents are there.
    pub async fn until_indexed(&self, documents: usize) {
        let path = format!("/{}/_count", self.client.names().alias);
        eventually("all is indexed", async || {
            let answer = self.client.json(Method::GET, &path, None).await.ok()?;
            (answer["count"].as_u64() == Some(documents as u64)).then_some(())
        })
        .await;
    }

    /// A document as it is.
    pub async fn document(&self, id: &str) -> Option<Value> {
        let path = format!("/{}/_doc/{id}", self.client.names().alias);
        let found = self.client.json(Method::GET, &path, None).await.ok()?;
        Some(found["_source"].clone())
    }

    /// Puts something in a document's place, as this version. The index forgets that a newer one was
    /// removed a moment later only, at a refresh.
    pub async fn plant(&self, id: &str, version: u64, document: &Value) {
        let alias = &self.client.names().alias;
        let query = format!("version={version}&version_type=external_gte&refresh=true");
        let path = format!("/{alias}/_doc/{id}?{query}");
        let refresh = format!("/{alias}/_refresh");
        eventually("it is planted", async || {
            self.client.json(Method::POST, &refresh, None).await.ok()?;
            let planted = self.client.json(Method::PUT, &path, Some(document)).await;
            planted.ok().map(drop)
        })
        .await;
    }

    /// Removes a document.
    pub async fn remove(&self, id: &str) {
        let alias = &self.client.names().alias;
        let path = format!("/{alias}/_doc/{id}");
        self.client.json(Method::DELETE, &path, None).await.unwrap();
        // A deleted version is forgotten at a refresh after its time, by a clock that ticks slowly.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let path = format!("/{alias}/_refresh");
        self.client.json(Method::POST, &path, None).await.unwrap();
    }

    /// Leaves a dead letter, as the follower does.
    pub async fn dead_letter(&self, id: &str, reason: &str) {
        let letter = json!({
            "order_id": id, "shard": "orders-0", "version": "2", "reason": reason,
            "failed_at": "2026-11-21T09:05:07Z",
        });
        let alias = &self.client.names().alias;
        let path = format!("/{alias}-dead-letter/_doc/{id}-2?refresh=true");
        let letter = self.client.json(Method::PUT, &path, Some(&letter)).await;
        letter.unwrap();
    }

    async fn put_settings(&self, settings: Value) {
        let path = format!("/{}/_settings", self.client.names().index);
        let put = self.client.json(Method::PUT, &path, Some(&settings)).await;
        put.unwrap();
    }

    /// Stops following: `as_of` stands still from now on.
    pub async fn stop(&mut self) {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended.expect("it ends in time").unwrap();
    }

    /// Drops the index and all beside it.
    pub async fn drop_index(mut self) {
        let _ = self.process.kill().await;
        let names = self.client.names();
        let letters = format!("{}-dead-letter", names.alias);
        for index in [&names.index, &names.follower_index, &letters] {
            let path = format!("/{index}");
            let _ = self.client.json(Method::DELETE, &path, None).await;
        }
    }
}

fn spawn(own: &Own) -> Child {
    let binary = Path::new(env!("CARGO_BIN_EXE_holdfast")).with_file_name("cdc-sync");
    assert!(binary.is_file(), "{} is not built", binary.display());
    let base = 800_000 + u32::from(rand::random::<u16>()) * 16;
    Command::new(binary)
        .envs(own.env.iter().filter(|(name, _)| is_followers(name)))
        .env("HOLDFAST__FOLLOWER__SERVER_ID_BASE", base.to_string())
        .env("HOLDFAST__FOLLOWER__FRESHNESS_INTERVAL_MS", "300")
        .env("HOLDFAST__ADMIN__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// It knows no other settings of the stores than these.
fn is_followers(name: &str) -> bool {
    let known = [
        "HOLDFAST__STORES__ORDER_SHARDS",
        "HOLDFAST__STORES__ACCOUNT_SHARDS",
    ];
    let starts = ["HOLDFAST__SEARCH__", "HOLDFAST__KAFKA__"];
    known.contains(&name) || starts.iter().any(|start| name.starts_with(start))
}
