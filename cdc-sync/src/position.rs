//! Positions, kept in the index beside the documents: one document per server, with how fresh the
//! index is for that server's orders.
//!
//! Readers take the oldest `as_of` of all documents, so there is always one for each shard: a shard
//! whose server was never reached has a placeholder as old as time.

use crate::gtid_set::GtidSet;
use crate::search_client::{SearchClient, SearchError};
use crate::source::Server;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The `as_of` of what was never seen.
pub const NEVER: &str = "1970-01-01T00:00:00.000000Z";

/// How many servers one follower can have positions for.
const POSITIONS_MAX: u16 = 1000;

/// What is saved of one server; its `_id` is the server's uuid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPosition {
    /// `@@server_uuid`, or the name of a shard that was never reached.
    pub server: String,
    /// Where it was reached.
    pub address: String,
    /// The order shards it holds.
    pub shards: Vec<String>,
    /// The index the documents went to.
    pub index_uuid: String,
    /// Every transaction whose documents are in that index, as MySQL writes GTID sets.
    pub position: String,
    /// What was committed before this instant of the server's clock is found by a search.
    pub as_of: String,
    /// When this was written.
    pub saved_at: String,
}

/// Every saved position.
pub async fn load_all(client: &SearchClient) -> Result<Vec<SavedPosition>, SearchError> {
    let index = &client.names().follower_index;
    client
        .json(Method::POST, &format!("/{index}/_refresh"), None)
        .await?;
    let path = format!("/{index}/_search?size={POSITIONS_MAX}");
    let answer = client.json(Method::GET, &path, None).await?;
    let hits = answer["hits"]["hits"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    hits.into_iter().map(read).collect()
}

fn read(mut hit: Value) -> Result<SavedPosition, SearchError> {
    serde_json::from_value(hit["_source"].take()).map_err(|error| {
        SearchError::Definite(format!(
            "the position {} cannot be read: {error}",
            hit["_id"]
        ))
    })
}

/// Writes one position, at once for whoever searches: readers ask for the oldest of all.
pub async fn save(client: &SearchClient, saved: &SavedPosition) -> Result<(), SearchError> {
    let index = &client.names().follower_index;
    let path = format!("/{index}/_doc/{}?refresh=true", saved.server);
    let body = json!(saved);
    client
        .json(Method::PUT, &path, Some(&body))
        .await
        .map(|_| ())
}

/// Removes the positions of other servers that held these shards before.
pub async fn remove_superseded(
    client: &SearchClient,
    saved: &SavedPosition,
) -> Result<(), SearchError> {
    for old in superseded(&load_all(client).await?, saved) {
        let path = format!("/{}/_doc/{old}", client.names().follower_index);
        match client.json(Method::DELETE, &path, None).await {
            Ok(_) => tracing::info!(server = old, "An earlier server's position is removed."),
            Err(SearchError::Definite(text)) if text.contains("status 404") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn superseded(all: &[SavedPosition], saved: &SavedPosition) -> Vec<String> {
    let shares = |old: &&SavedPosition| old.shards.iter().any(|s| saved.shards.contains(s));
    let others = all.iter().filter(|old| old.server != saved.server);
    others
        .filter(shares)
        .map(|old| old.server.clone())
        .collect()
}

/// Makes a placeholder for each shard that no position speaks for.
pub async fn ensure_placeholders(
    client: &SearchClient,
    servers: &[Server],
) -> Result<(), SearchError> {
    let all = load_all(client).await?;
    let shards = servers.iter().flat_map(|server| &server.shards);
    for shard in shards.map(|shard| shard.name.to_string()) {
        if all.iter().any(|saved| saved.shards.contains(&shard)) {
            continue;
        }
        let placeholder = SavedPosition {
            server: format!("unseen-{shard}"),
            address: String::new(),
            shards: vec![shard],
            index_uuid: String::new(),
            position: String::new(),
            as_of: NEVER.to_owned(),
            saved_at: crate::search_writer::now(),
        };
        save(client, &placeholder).await?;
    }
    Ok(())
}

/// Where to begin on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After these transactions; what is saved says how fresh the index was.
    Resume {
        /// The saved position.
        position: GtidSet,
        /// The saved freshness.
        as_of: String,
    },
    /// With a snapshot, because of this.
    Snapshot {
        /// A sentence for the log.
        why: &'static str,
    },
}

/// What the saved positions say about this server. A server that took over from another goes on from
/// the other's position, if it has executed all of it; that is for the caller to ask.
pub fn start(all: &[SavedPosition], uuid: &str, shards: &[String], index_uuid: &str) -> Start {
    let covers = |saved: &&SavedPosition| shards.iter().all(|s| saved.shards.contains(s));
    let own = all.iter().find(|saved| saved.server == uuid);
    let other = || {
        all.iter()
            .find(|saved| covers(saved) && !saved.position.is_empty())
    };
    let Some(saved) = own.or_else(other) else {
        return Start::Snapshot {
            why: "no position is saved for this server",
        };
    };
    if !covers(&saved) {
        return Start::Snapshot {
            why: "the server holds a shard that the saved position does not speak for",
        };
    }
    if saved.index_uuid != index_uuid {
        return Start::Snapshot {
            why: "the index is not the one that the saved position speaks of",
        };
    }
    match saved.position.parse::<GtidSet>() {
        Ok(position) => Start::Resume {
            position,
            as_of: saved.as_of.clone(),
        },
        Err(_) => Start::Snapshot {
            why: "the saved position cannot be read",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn saved(server: &str, shards: &[&str]) -> SavedPosition {
        SavedPosition {
            server: server.into(),
            address: "127.0.0.1:3306".into(),
            shards: shards.iter().map(|&s| s.to_owned()).collect(),
            index_uuid: "i1".into(),
            position: format!("{UUID}:1-9"),
            as_of: NEVER.into(),
            saved_at: NEVER.into(),
        }
    }

    fn begin(all: &[SavedPosition], shards: &[&str], index: &str) -> Start {
        let shards: Vec<String> = shards.iter().map(|&s| s.to_owned()).collect();
        start(all, UUID, &shards, index)
    }

    #[test]
    fn a_saved_position_is_resumed() {
        let all = [saved(UUID, &["orders-0"])];
        assert!(matches!(
            begin(&all, &["orders-0"], "i1"),
            Start::Resume { .. }
        ));
    }

    #[test]
    fn without_a_position_for_these_shards_in_this_index_there_is_a_snapshot() {
        let own = [saved(UUID, &["orders-0"])];
        let placeholder = SavedPosition {
            position: String::new(),
            ..saved("unseen-orders-0", &["orders-0"])
        };
        for (all, shards, index) in [
            (&[][..], &["orders-0"][..], "i1"),
            (&own[..], &["orders-0"][..], "i2"),
            (&own[..], &["orders-0", "orders-1"][..], "i1"),
            (&[placeholder][..], &["orders-0"][..], "i1"),
        ] {
            assert!(matches!(begin(all, shards, index), Start::Snapshot { .. }));
        }
    }

    #[test]
    fn a_server_that_took_over_begins_at_its_predecessors_position() {
        let all = [saved("another", &["orders-0"])];
        assert!(matches!(
            begin(&all, &["orders-0"], "i1"),
            Start::Resume { .. }
        ));
    }

    #[test]
    fn a_position_supersedes_those_that_share_a_shard_with_it() {
        let own = saved(UUID, &["orders-0", "orders-2"]);
        let all = [
            own.clone(),
            saved("old", &["orders-0"]),
            saved("unseen-orders-2", &["orders-2"]),
            saved("other", &["orders-1"]),
        ];
        assert_eq!(superseded(&all, &own), ["old", "unseen-orders-2"]);
    }
}
