//! Positions, kept in the index beside the documents: one for each order shard, with how fresh the
//! index is for that shard's orders.
//!
//! A server's shards share one position, which is written under the name of each of them. So another
//! server that takes a shard over also takes its position over, and readers, who know the shards, ask
//! by name and need no refresh. They take the oldest `as_of`, so there is always one for each shard:
//! one that was never followed has a placeholder as old as time.

use crate::bulk;
use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use crate::source::Server;
use crate::stream_position::Position;
use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The `as_of` of what was never seen.
pub const NEVER: &str = "1970-01-01T00:00:00.000000Z";

/// What is saved of one server, under the name of each of its shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPosition {
    /// The server's own name for itself ([`crate::examine`]); empty in a placeholder.
    pub server: String,
    /// Where it was reached.
    pub address: String,
    /// The order shards it holds.
    pub shards: Vec<String>,
    /// The indices the documents went to, by their uuids, joined by commas: two while there is another
    /// beside the orders' own.
    pub index_uuid: String,
    /// Every transaction whose documents are in each of them, as its server writes GTIDs.
    pub position: String,
    /// What was committed before this instant of the server's clock is found by a search.
    pub as_of: String,
    /// When this was written.
    pub saved_at: String,
}

impl SavedPosition {
    /// Whether the index of this uuid is one of those that the position is of.
    pub fn speaks_of(&self, index_uuid: &str) -> bool {
        self.index_uuid.split(',').any(|uuid| uuid == index_uuid)
    }
}

#[derive(Deserialize)]
struct Answer {
    docs: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "_source")]
    saved: Option<SavedPosition>,
    error: Option<serde_json::Value>,
}

/// What is saved of each of these shards, in their order.
pub async fn load(
    client: &SearchClient,
    shards: &[String],
) -> Result<Vec<Option<SavedPosition>>, SearchError> {
    let path = format!("/{}/_mget", client.names().follower_index);
    let body = json!({ "ids": shards });
    let answer = client.json(Method::POST, &path, Some(&body)).await?;
    let answer: Answer = serde_json::from_value(answer).map_err(|error| {
        SearchError::Definite(format!("the saved positions cannot be read: {error}"))
    })?;
    let saved = |found: Found| match found.error {
        Some(error) => Err(SearchError::Transient(error.to_string())),
        None => Ok(found.saved),
    };
    answer.docs.into_iter().map(saved).collect()
}

/// Writes a server's position for each of its shards.
pub async fn save(client: &SearchClient, saved: &SavedPosition) -> Result<(), SearchError> {
    let shards = saved.shards.iter();
    write(client, "index", shards.map(|shard| (shard, saved))).await
}

/// Makes a placeholder for each shard that no position speaks for.
pub async fn ensure_placeholders(
    client: &SearchClient,
    servers: &[Server],
) -> Result<(), SearchError> {
    let shards = servers.iter().flat_map(|server| &server.shards);
    let placeholders: Vec<(String, SavedPosition)> = shards
        .map(|shard| shard.name.to_string())
        .map(|shard| (shard.clone(), placeholder(shard)))
        .collect();
    let documents = placeholders.iter().map(|(shard, saved)| (shard, saved));
    write(client, "create", documents).await
}

fn placeholder(shard: String) -> SavedPosition {
    SavedPosition {
        server: String::new(),
        address: String::new(),
        shards: vec![shard],
        index_uuid: String::new(),
        position: String::new(),
        as_of: NEVER.to_owned(),
        saved_at: now(),
    }
}

/// Writes documents under these names, in one request; `create` leaves alone what is there.
async fn write<'a>(
    client: &SearchClient,
    operation: &str,
    documents: impl ExactSizeIterator<Item = (&'a String, &'a SavedPosition)>,
) -> Result<(), SearchError> {
    let count = documents.len();
    let lines: String = documents
        .map(|(id, saved)| {
            format!(
                "{}\n{}\n",
                json!({ operation: { "_id": id } }),
                json!(saved)
            )
        })
        .collect();
    let path = bulk::index_path(&client.names().follower_index);
    let answer = client.bulk(&path, Bytes::from(lines)).await?;
    bulk::ensure_written(&answer, count)
}

/// Where to begin on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After these transactions; what is saved says how fresh the index was.
    Resume {
        /// The saved position.
        position: Position,
        /// The saved freshness.
        as_of: String,
    },
    /// With a snapshot, because of this.
    Snapshot {
        /// A sentence for the log.
        why: &'static str,
    },
}

/// What is saved of a server's shards says where to begin on it. It need not have been saved by this
/// server: one that took over goes on from its predecessor's position, if it has executed all of it;
/// that is for the caller to ask.
pub fn start(saved: &[Option<SavedPosition>], index_uuid: &str) -> Start {
    let snapshot = |why| Start::Snapshot { why };
    let is_followed = |saved: &&SavedPosition| !saved.position.is_empty();
    let shards = saved.iter().map(|saved| saved.as_ref().filter(is_followed));
    let Some(saved) = shards.collect::<Option<Vec<&SavedPosition>>>() else {
        return snapshot("no position is saved for a shard of this server");
    };
    let Some(oldest) = saved.iter().min_by_key(|saved| &saved.as_of) else {
        return snapshot("no position is saved for this server");
    };
    if !saved.iter().all(|saved| saved.speaks_of(index_uuid)) {
        return snapshot("the index is not the one that the saved position speaks of");
    }
    if saved.iter().any(|saved| saved.position != oldest.position) {
        return snapshot("the shards of this server were saved at different positions");
    }
    match oldest.position.parse::<Position>() {
        Ok(position) => Start::Resume {
            position,
            as_of: oldest.as_of.clone(),
        },
        Err(_) => snapshot("the saved position cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const LATER: &str = "2026-11-21T09:05:07.000042Z";

    fn saved(position: &str) -> SavedPosition {
        SavedPosition {
            server: UUID.into(),
            address: "127.0.0.1:3306".into(),
            shards: vec!["orders-0".into(), "orders-2".into()],
            index_uuid: "i1".into(),
            position: position.into(),
            as_of: LATER.into(),
            saved_at: LATER.into(),
        }
    }

    fn at(numbers: &str) -> Option<SavedPosition> {
        Some(saved(&format!("{UUID}:{numbers}")))
    }

    #[test]
    fn a_position_that_all_shards_agree_on_is_resumed_as_fresh_as_the_oldest() {
        let mut older = saved(&format!("{UUID}:1-9"));
        older.as_of = NEVER.into();
        for (saved, as_of) in [
            (vec![at("1-9")], LATER),
            (vec![at("1-9"), at("1-9")], LATER),
            (vec![at("1-9"), Some(older)], NEVER),
        ] {
            let expected = Start::Resume {
                position: format!("{UUID}:1-9").parse().unwrap(),
                as_of: as_of.into(),
            };
            assert_eq!(start(&saved, "i1"), expected);
        }
    }

    #[test]
    fn a_position_of_two_indices_is_resumed_in_either() {
        let mut of_two = saved(&format!("{UUID}:1-9"));
        of_two.index_uuid = "i1,i2".into();
        for index in ["i1", "i2"] {
            let start = start(&[Some(of_two.clone())], index);
            assert!(matches!(start, Start::Resume { .. }), "{start:?}");
        }
        let start = start(&[Some(of_two)], "i");
        assert!(matches!(start, Start::Snapshot { .. }), "{start:?}");
    }

    #[test]
    fn whatever_the_shards_do_not_agree_on_means_a_snapshot() {
        let placeholder = || Some(placeholder("orders-0".into()));
        for (saved, index, says) in [
            (vec![], "i1", "no position"),
            (vec![None], "i1", "no position"),
            (vec![placeholder()], "i1", "no position"),
            (vec![at("1-9"), None], "i1", "no position"),
            (vec![placeholder(), at("1-9")], "i1", "no position"),
            (vec![at("1-9"), at("1-9")], "i2", "the index"),
            (vec![at("1-9"), at("1-8")], "i1", "different positions"),
            (vec![Some(saved("1-9"))], "i1", "cannot be read"),
        ] {
            let Start::Snapshot { why } = start(&saved, index) else {
                panic!("{saved:?} is resumed");
            };
            assert!(why.contains(says), "{why}");
        }
    }
}
