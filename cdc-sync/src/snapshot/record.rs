//! How a snapshot that was asked for stands: one document beside the positions, written by the
//! operator's command (what is wanted) and by the follower that acts (what is done).

use super::created::Created;
use super::progress::Progress;
use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use crate::shared_document::{self, Found, Ground};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The document's id; no shard is called so.
const ID: &str = "snapshot";

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Wanted; no follower has begun.
    Wanted,
    /// Orders are written again.
    Copying,
    /// All of them are, and a search finds them.
    Done,
    /// The operator has ended it before that.
    Cancelled,
}

impl Phase {
    /// Whether a follower has something to do about it.
    pub fn goes_on(self) -> bool {
        match self {
            Self::Wanted | Self::Copying => true,
            Self::Done | Self::Cancelled => false,
        }
    }
}

/// Which orders are to be written again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Of these order shards, in order.
    pub shards: Vec<String>,
    /// Only those that were made in this time.
    pub created: Option<Created>,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the orders of {}", self.shards.join(", "))?;
        match self.created {
            Some(created) => write!(f, " made in {created}"),
            None => Ok(()),
        }
    }
}

/// How a snapshot stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Tells it from others.
    pub number: u64,
    /// How far it is.
    pub phase: Phase,
    /// Which orders.
    pub wanted: Wanted,
    /// How far each shard is.
    #[serde(default)]
    pub progress: Progress,
    /// What holds it up at the moment.
    #[serde(default)]
    pub trouble: Option<String>,
    /// When it was asked for, RFC 3339.
    #[serde(default)]
    pub asked_at: String,
    /// When this was written, RFC 3339.
    #[serde(default)]
    pub changed_at: String,
}

impl Snapshot {
    /// One that nobody has begun.
    pub fn wanted(number: u64, wanted: Wanted) -> Self {
        Self {
            number,
            phase: Phase::Wanted,
            wanted,
            progress: Progress::default(),
            trouble: None,
            asked_at: now(),
            changed_at: String::new(),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wanted, progress, ..
        } = self;
        match self.phase {
            Phase::Wanted => write!(f, "{wanted} are to be written again")?,
            Phase::Copying => write!(f, "{wanted} are written again: {progress}")?,
            Phase::Done => write!(f, "{wanted} were written again: {}", progress.rows)?,
            Phase::Cancelled => write!(f, "{wanted} were written again in part: {progress}")?,
        }
        match &self.trouble {
            Some(trouble) if self.phase.goes_on() => write!(f, "; held up: {trouble}"),
            Some(_) | None => Ok(()),
        }
    }
}

/// The document around it: the index takes no fields but those it knows.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    snapshot: Snapshot,
}

/// The last snapshot that was asked for, as it stands; none where there never was one.
pub async fn load(client: &SearchClient) -> Result<Option<Found<Snapshot>>, SearchError> {
    let found = shared_document::find::<Envelope>(client, ID).await?;
    Ok(found.map(|found| Found {
        ground: found.ground,
        document: found.document.snapshot,
    }))
}

/// Writes it where it still stands as at `ground`; answers its new state, or none where it does not.
pub async fn save(
    client: &SearchClient,
    ground: Option<Ground>,
    snapshot: &Snapshot,
) -> Result<Option<Ground>, SearchError> {
    let snapshot = Snapshot {
        changed_at: now(),
        ..snapshot.clone()
    };
    shared_document::write(client, ID, ground, &Envelope { snapshot }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_told_in_a_sentence_with_what_holds_it_up() {
        let wanted = Wanted {
            shards: vec!["orders-0".into(), "orders-1".into()],
            created: "2026-11-01..".parse().ok(),
        };
        let mut snapshot = Snapshot::wanted(7, wanted);
        let orders = "the orders of orders-0, orders-1 made in 2026-11-01T00:00:00Z..";
        assert_eq!(
            snapshot.to_string(),
            format!("{orders} are to be written again")
        );
        snapshot.phase = Phase::Copying;
        snapshot.trouble = Some("no answer".into());
        let said = snapshot.to_string();
        assert!(
            said.ends_with("are written again: no row yet; held up: no answer"),
            "{said}"
        );
        snapshot.phase = Phase::Done;
        let said = snapshot.to_string();
        assert!(said.ends_with("were written again: 0"), "{said}");
    }
}
