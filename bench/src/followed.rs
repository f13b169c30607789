//! What the follower has left in Elasticsearch, and how to take it back to begin again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cdc_sync::index;
use cdc_sync::position::{self, SavedPosition};
use cdc_sync::search_client::SearchClient;
use chrono::{DateTime, Utc};
use domain::{ShardName, StoreKind};
use reqwest::Method;
use serde_json::json;
use service::search::SearchSettings;
use stack::Stack;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(300);

/// The orders' index, and the positions as they were once.
#[derive(Debug)]
pub struct Followed {
    client: SearchClient,
    shards: Vec<String>,
    positions: Vec<SavedPosition>,
}

impl Followed {
    /// Reads the positions of the stack's order shards.
    pub async fn read(stack: &Stack) -> Result<Self> {
        let client = SearchClient::new(&SearchSettings::of_url(&stack.env().search_url))?;
        let shards = order_shards(stack)?;
        let positions = position::load(&client, &shards).await?;
        Ok(Self {
            client,
            shards,
            positions: positions.into_iter().flatten().collect(),
        })
    }

    /// Waits until everything is found that was committed before this instant, which may move on.
    pub async fn until_as_of(&self, instant: impl Fn() -> DateTime<Utc>) -> Result<()> {
        let begun = Instant::now();
        while self.as_of().await? < instant() {
            ensure!(
                begun.elapsed() < CAUGHT_UP_WITHIN,
                "the follower has not caught up"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// What was committed before this instant is found.
    async fn as_of(&self) -> Result<DateTime<Utc>> {
        let positions = position::load(&self.client, &self.shards).await?;
        let as_of = positions.into_iter().map(|saved| match saved {
            Some(saved) => Ok(DateTime::parse_from_rfc3339(&saved.as_of)?.to_utc()),
            None => Ok(DateTime::UNIX_EPOCH),
        });
        let as_of: Vec<DateTime<Utc>> = as_of.collect::<Result<_>>()?;
        as_of.into_iter().min().context("no shard is followed")
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

fn order_shards(stack: &Stack) -> Result<Vec<String>> {
    let store = StoreKind::Orders;
    let count = u16::try_from(stack.env().order_shards.len())?;
    let names = (0..count).map(|index| ShardName { store, index }.to_string());
    Ok(names.collect())
}
