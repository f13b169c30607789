//! What the follower has left in Elasticsearch, and how to take it back to begin again.

use anyhow::Result;
use cdc_sync::index;
use cdc_sync::position::{self, SavedPosition};
use cdc_sync::search_client::SearchClient;
use reqwest::Method;
use serde_json::json;

/// The orders' index, and the positions as they were once.
#[derive(Debug)]
pub struct Followed {
    client: SearchClient,
    positions: Vec<SavedPosition>,
}

impl Followed {
    /// Reads the positions of these shards.
    pub async fn read(client: SearchClient, shards: Vec<String>) -> Result<Self> {
        let positions = position::load(&client, &shards).await?;
        Ok(Self {
            client,
            positions: positions.into_iter().flatten().collect(),
        })
    }

    /// How many orders a search finds as ended.
    pub async fn ended(&self) -> Result<usize> {
        let query = json!({ "query": { "terms": { "status": ["paid", "cancelled"] } } });
        let path = "/orders/_count?ignore_unavailable=true";
        let counted = self.client.json(Method::POST, path, Some(&query)).await?;
        Ok(usize::try_from(
            counted["count"].as_u64().unwrap_or_default(),
        )?)
    }

    /// Removes the orders' index and the positions.
    pub async fn forget(&self) -> Result<()> {
        let names = self.client.names();
        for index in [&names.index, &names.follower_index] {
            let path = format!("/{index}?ignore_unavailable=true");
            self.client.json(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// An empty index, and the positions as they were read: what came since is followed once more.
    pub async fn rewind(&self) -> Result<()> {
        self.forget().await?;
        let index_uuid = index::ensure_indices(&self.client).await?;
        for position in &self.positions {
            let position = SavedPosition {
                index_uuid: index_uuid.clone(),
                ..position.clone()
            };
            position::save(&self.client, &position).await?;
        }
        Ok(())
    }
}
