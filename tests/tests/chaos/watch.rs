//! Looks at the documents of a merchant again and again: none may be gone or older than before.

use crate::live::Live;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const DOCUMENTS_MAX: usize = 10_000;
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// A watch that goes on until its end.
pub struct Watch {
    looking: JoinHandle<Result<usize>>,
    ended: CancellationToken,
}

impl Watch {
    pub fn over(live: &Live, merchant: &str) -> Self {
        let ended = CancellationToken::new();
        let looking = look(
            live.env().search_url.clone(),
            merchant.to_owned(),
            ended.clone(),
        );
        Self {
            looking: tokio::spawn(looking),
            ended,
        }
    }

    /// How many documents it has seen; an error when one of them went back.
    pub async fn end(self) -> Result<usize> {
        self.ended.cancel();
        self.looking.await?
    }
}

async fn look(search_url: String, merchant: String, ended: CancellationToken) -> Result<usize> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let question = json!({
        "size": DOCUMENTS_MAX,
        "query": { "term": { "merchant": merchant } },
        "_source": ["version", "status"],
    });
    let mut newest: HashMap<String, (i64, String)> = HashMap::new();
    while !ended.is_cancelled() {
        let request = client.post(format!("{search_url}/orders/_search"));
        let answer: Value = request.json(&question).send().await?.json().await?;
        let hits = answer["hits"]["hits"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(
            hits.len() >= newest.len(),
            "INV-6: a document is gone: {answer}"
        );
        for hit in hits {
            let id = hit["_id"].as_str().unwrap_or_default().to_owned();
            let version = hit["_source"]["version"].as_i64().unwrap_or_default();
            let status = hit["_source"]["status"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if let Some((was, shown)) = newest.get(&id) {
                ensure!(
                    version >= *was,
                    "INV-6: {id} went from {was} back to {version}"
                );
                let ended = matches!(shown.as_str(), "paid" | "cancelled");
                ensure!(
                    !ended || *shown == status,
                    "INV-6: {id} was {shown}, is {status}"
                );
            }
            newest.insert(id, (version, status));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(newest.len())
}
