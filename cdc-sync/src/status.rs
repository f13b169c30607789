//! How search stands, for an operator: what is saved of each order shard, how far that is behind the
//! shard's server, and what the index holds. Asks the servers and the index, not the follower, so it
//! also tells when no follower runs.

use crate::error::FollowError;
use crate::examine::watermark;
use crate::index::{dead_letter_index, index_behind};
use crate::position::{NEVER, SavedPosition, load};
use crate::rebuild::record::{self, Phase, Rebuild};
use crate::search_client::{SearchClient, SearchError};
use crate::settings::{FollowerSettings, StoresSettings};
use crate::snapshot;
use crate::snapshot::checkpoint::{self, Checkpoint};
use crate::snapshot::record::Snapshot;
use crate::source::{Server, ShardUrlError, servers};
use crate::stream_position::Position;
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use service::search::SearchSettings;
use std::time::Duration;

/// How search stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SearchStatus {
    /// The index behind the alias.
    pub index: String,
    /// Documents in it, as of its last refresh.
    pub documents: u64,
    /// Changes that could not become documents, as of the last refresh.
    pub dead_letters: u64,
    /// How the last rebuild stands, while there is an index beside or one is wanted.
    pub rebuild: Option<Rebuild>,
    /// The snapshot that was asked for, while it goes on.
    pub snapshot: Option<Snapshot>,
    /// The first snapshots that are not at their end, one for each server.
    pub first_snapshots: Vec<Checkpoint>,
    /// Each order shard, in order.
    pub shards: Vec<ShardStatus>,
}

/// How search stands for one order shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    /// Such as `orders-0`.
    pub shard: String,
    /// Where its server is.
    pub server: String,
    /// Everything committed before this instant is found; none while this index was never filled.
    pub as_of: Option<DateTime<Utc>>,
    /// When the position was last saved, by the follower's clock.
    pub saved_at: Option<DateTime<Utc>>,
    /// How many of its server's SQL transactions are not in the index; none where the server could
    /// not be asked.
    pub transactions_behind: Option<u64>,
    /// Why it could not be asked.
    pub unreachable: Option<String>,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// A shard's URL cannot be used.
    #[error(transparent)]
    Url(#[from] ShardUrlError),
    /// Elasticsearch does not answer, or refuses.
    #[error("elasticsearch: {0}")]
    Search(#[from] SearchError),
    /// An answer of Elasticsearch has not the expected form.
    #[error("elasticsearch's answer cannot be read: {0}")]
    Form(String),
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

/// Asks the index and every server.
pub async fn read(
    stores: &StoresSettings,
    follower: &FollowerSettings,
    search: &SearchSettings,
) -> Result<SearchStatus, StatusError> {
    let client = SearchClient::new(search)?;
    let index = index_behind(&client, &search.alias).await?;
    let (mut shards, mut first_snapshots) = (Vec::new(), Vec::new());
    for server in servers(stores, follower).await? {
        let names: Vec<String> = server.shards.iter().map(|s| s.name.to_string()).collect();
        let first = checkpoint::load(&client, &names).await?;
        first_snapshots.extend(first.map(|found| found.document));
        let saved = load(&client, &names).await?.into_iter();
        // What is saved of another index says nothing of this one.
        let saved = saved.map(|saved| saved.filter(|saved| saved.speaks_of(&index.uuid)));
        let executed = executed(&server, follower).await;
        let saved = names.into_iter().zip(saved);
        shards.extend(saved.map(|(shard, saved)| status(shard, &server.address, saved, &executed)));
    }
    let rebuild = record::load(&client).await?;
    let rebuild = rebuild.map(|found| found.document);
    let snapshot = snapshot::record::load(&client).await?;
    let snapshot = snapshot.map(|found| found.document);
    shards.sort_by(|one, other| one.shard.cmp(&other.shard));
    Ok(SearchStatus {
        index: index.name,
        documents: count(&client, &search.alias).await?,
        dead_letters: count(&client, &dead_letter_index(search)).await?,
        rebuild: rebuild.filter(|rebuild| rebuild.phase != Phase::Done),
        snapshot: snapshot.filter(|snapshot| snapshot.phase.goes_on()),
        first_snapshots,
        shards,
    })
}

/// What the server has executed, or why it cannot be asked.
async fn executed(server: &Server, follower: &FollowerSettings) -> Result<Position, String> {
    let timeout = Duration::from_millis(follower.connect_timeout_ms);
    let asked = async {
        let mut conn = server.connect().await?;
        let watermark = watermark(&mut conn, timeout).await?;
        // The answer is known; whether the goodbye arrives does not matter.
        let _ = conn.disconnect().await;
        Ok::<_, FollowError>(watermark.executed)
    };
    asked.await.map_err(|error| error.to_string())
}

fn status(
    shard: String,
    server: &str,
    saved: Option<SavedPosition>,
    executed: &Result<Position, String>,
) -> ShardStatus {
    let saved = saved.filter(|saved| saved.as_of != NEVER);
    let position = saved.as_ref().and_then(|saved| saved.position.parse().ok());
    let position: Position = position.unwrap_or_default();
    let time = |text: &str| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    ShardStatus {
        shard,
        server: server.to_owned(),
        as_of: saved.as_ref().and_then(|saved| time(&saved.as_of)),
        saved_at: saved.as_ref().and_then(|saved| time(&saved.saved_at)),
        transactions_behind: executed
            .as_ref()
            .ok()
            .map(|executed| position.lacks(executed)),
        unreachable: executed.as_ref().err().cloned(),
    }
}

async fn count(client: &SearchClient, index: &str) -> Result<u64, StatusError> {
    let answer = client
        .json(Method::GET, &format!("/{index}/_count"), None)
        .await?;
    let count: Count =
        serde_json::from_value(answer).map_err(|error| StatusError::Form(error.to_string()))?;
    Ok(count.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn saved(as_of: &str) -> SavedPosition {
        SavedPosition {
            server: UUID.into(),
            address: "127.0.0.1:3306".into(),
            shards: vec!["orders-0".into()],
            index_uuid: "i1".into(),
            position: format!("{UUID}:1-7"),
            as_of: as_of.into(),
            saved_at: "2026-11-21T09:05:08Z".into(),
        }
    }

    #[test]
    fn a_shard_is_as_far_behind_as_its_server_has_executed_more() {
        let other = "00000000-0000-0000-0000-000000000001";
        let executed = Ok(format!("{UUID}:1-5:8-9,{other}:1-3").parse().unwrap());
        let of = |saved| status("orders-0".into(), "a:1", saved, &executed);
        let followed = of(Some(saved("2026-11-21T09:05:07.000042Z")));
        assert_eq!(followed.transactions_behind, Some(5));
        assert!(followed.as_of.is_some() && followed.saved_at.is_some());
        for never in [None, Some(saved(NEVER))] {
            let never = of(never);
            assert_eq!((never.as_of, never.transactions_behind), (None, Some(10)));
        }
    }

    #[test]
    fn a_server_that_cannot_be_asked_is_said() {
        let away = Err("connection refused".to_owned());
        let status = status("orders-0".into(), "a:1", None, &away);
        assert_eq!(status.transactions_behind, None);
        assert_eq!(status.unreachable.as_deref(), Some("connection refused"));
    }
}
