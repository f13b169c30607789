//! How far a first snapshot has come: a document beside the positions, written once rows are
//! acknowledged and removed once there is a position.
//!
//! It says from where on the stream follows: what was committed before that is in the rows that were
//! read since, and what came later comes from the stream, also to rows that were copied before a kill. So
//! a copy may be gone on with as long as the server still has the binlogs after that, and the documents
//! are still there.

use super::progress::Progress;
use crate::position::SavedPosition;
use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use crate::shared_document::{self, Found, Ground};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// A first snapshot that is not at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The server's own name for itself.
    pub server: String,
    /// The order shards that are copied: all of the server.
    pub shards: Vec<String>,
    /// The index in use, by its uuid.
    pub index_uuid: String,
    /// Where the stream begins after it: all that was committed before the first row was read.
    pub watermark: String,
    /// An instant of the server's clock that the watermark is not older than, RFC 3339.
    pub watermark_at: String,
    /// How far it is.
    pub progress: Progress,
    /// When this was written.
    #[serde(default)]
    pub saved_at: String,
}

impl Checkpoint {
    /// Why it is not of the server, shards and index that a snapshot is wanted of now; none where it is.
    pub fn misfit(&self, wanted: &SavedPosition) -> Option<&'static str> {
        if self.server != wanted.server {
            Some("it is of another server")
        } else if self.shards != wanted.shards {
            Some("the server holds other shards now")
        } else if self.index_uuid != wanted.index_uuid {
            Some("the index is another one now")
        } else {
            None
        }
    }
}

/// The document around it: the index takes no fields but those it knows.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    snapshot: Checkpoint,
}

/// Under which name it is kept; no shard is called so.
fn id(shards: &[String]) -> String {
    let first = shards.first().map_or("", String::as_str);
    format!("snapshot-of-{first}")
}

/// The first snapshot of the server that holds these shards, if it is not at its end.
pub async fn load(
    client: &SearchClient,
    shards: &[String],
) -> Result<Option<Found<Checkpoint>>, SearchError> {
    let found = shared_document::find::<Envelope>(client, &id(shards)).await?;
    Ok(found.map(|found| Found {
        ground: found.ground,
        document: found.document.snapshot,
    }))
}

/// Writes it where it still stands as at `ground`; answers its new state, or none where it does not.
pub async fn save(
    client: &SearchClient,
    ground: Option<Ground>,
    checkpoint: &Checkpoint,
) -> Result<Option<Ground>, SearchError> {
    let snapshot = Checkpoint {
        saved_at: now(),
        ..checkpoint.clone()
    };
    let id = id(&checkpoint.shards);
    shared_document::write(client, &id, ground, &Envelope { snapshot }).await
}

/// Removes what there may be: the position speaks for these shards now.
pub async fn forget(client: &SearchClient, shards: &[String]) -> Result<(), SearchError> {
    let path = format!("/{}/_doc/{}", client.names().follower_index, id(shards));
    match client.json(Method::DELETE, &path, None).await {
        Err(SearchError::Definite(text)) if text.contains("status 404") => Ok(()),
        answer => answer.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::NEVER;

    #[test]
    fn a_copy_is_gone_on_with_only_for_the_same_server_shards_and_index() {
        let wanted = SavedPosition {
            server: "u1".into(),
            address: "127.0.0.1:3306".into(),
            shards: vec!["orders-0".into(), "orders-2".into()],
            index_uuid: "i1".into(),
            position: String::new(),
            as_of: NEVER.into(),
            saved_at: NEVER.into(),
        };
        let checkpoint = Checkpoint {
            server: "u1".into(),
            shards: wanted.shards.clone(),
            index_uuid: "i1".into(),
            watermark: "u1:1-9".into(),
            watermark_at: NEVER.into(),
            progress: Progress::default(),
            saved_at: NEVER.into(),
        };
        assert_eq!(checkpoint.misfit(&wanted), None);
        let other = |text: &str| Some(text.to_owned());
        for (server, index, shards, says) in [
            (other("u2"), None, None, "another server"),
            (None, other("i2"), None, "the index"),
            (
                None,
                None,
                Some(vec!["orders-0".to_owned()]),
                "other shards",
            ),
        ] {
            let now = SavedPosition {
                server: server.unwrap_or(wanted.server.clone()),
                index_uuid: index.unwrap_or(wanted.index_uuid.clone()),
                shards: shards.unwrap_or(wanted.shards.clone()),
                ..wanted.clone()
            };
            let why = checkpoint.misfit(&now).unwrap();
            assert!(why.contains(says), "{why}");
        }
    }
}
