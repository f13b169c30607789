//! How a rebuild stands: one document beside the positions, written by the operator's command (what is
//! wanted) and by the follower that acts (what is done).

use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use crate::shared_document::{self, Found, Ground};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The document's id; no shard is called so.
const ID: &str = "rebuild";

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Wanted; no follower has begun.
    Requested,
    /// The new index is there, gets every change, and is being filled from the stores.
    Filling,
    /// It is full, and is to be compared with the old one; then the alias goes over.
    Comparing,
    /// They hold the same, or the operator takes the new one all the same: the alias goes over.
    Switching,
    /// The two differ: somebody has to say whether the new one is to be taken all the same.
    Differs,
    /// The alias names the new index; the old one is kept beside it and gets every change.
    Switched,
    /// The alias is to go back to the index beside.
    SwitchingBack,
    /// The index beside is to be removed.
    Discarding,
    /// There is one index.
    Done,
}

impl Phase {
    /// Whether the index beside holds every order.
    pub fn is_filled(self) -> bool {
        match self {
            Self::Requested | Self::Filling | Self::Discarding | Self::Done => false,
            Self::Comparing
            | Self::Switching
            | Self::Differs
            | Self::Switched
            | Self::SwitchingBack => true,
        }
    }

    /// Whether a follower has something to do about it.
    pub fn goes_on(self) -> bool {
        match self {
            Self::Requested
            | Self::Filling
            | Self::Comparing
            | Self::Switching
            | Self::SwitchingBack
            | Self::Discarding => true,
            Self::Differs | Self::Switched | Self::Done => false,
        }
    }
}

/// How a rebuild stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// How far it is.
    pub phase: Phase,
    /// The index that the alias names until it is switched.
    pub from: String,
    /// The index that it names then.
    pub to: String,
    /// Whether the new index is taken even where it differs.
    pub accepts_differences: bool,
    /// How far the filling has come: the last `seq` written of each order shard.
    #[serde(default)]
    pub reached: BTreeMap<String, u64>,
    /// Where it ends: the last `seq` of each order shard as the filling began.
    #[serde(default)]
    pub last: BTreeMap<String, u64>,
    /// Rows written.
    #[serde(default)]
    pub rows: u64,
    /// In what the two differ: a line for each status, day and currency.
    #[serde(default)]
    pub differences: Vec<String>,
    /// Why the index beside was given up.
    #[serde(default)]
    pub failure: Option<String>,
    /// What holds it up at the moment.
    #[serde(default)]
    pub trouble: Option<String>,
    /// When this was written.
    #[serde(default)]
    pub changed_at: String,
}

impl Rebuild {
    /// A rebuild that nobody has begun.
    pub fn requested(from: String, to: String, accepts_differences: bool) -> Self {
        Self {
            phase: Phase::Requested,
            from,
            to,
            accepts_differences,
            reached: BTreeMap::new(),
            last: BTreeMap::new(),
            rows: 0,
            differences: Vec::new(),
            failure: None,
            trouble: None,
            changed_at: String::new(),
        }
    }
}

/// The document around it: the index takes no fields but those it knows.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    rebuild: Rebuild,
}

/// The rebuild as it stands; none where there never was one.
pub async fn load(client: &SearchClient) -> Result<Option<Found<Rebuild>>, SearchError> {
    let found = shared_document::find::<Envelope>(client, ID).await?;
    Ok(found.map(|found| Found {
        ground: found.ground,
        document: found.document.rebuild,
    }))
}

/// Writes it where it still stands as at `ground`; answers its new state, or none where it does not.
pub async fn save(
    client: &SearchClient,
    ground: Option<Ground>,
    rebuild: &Rebuild,
) -> Result<Option<Ground>, SearchError> {
    let rebuild = Rebuild {
        changed_at: now(),
        ..rebuild.clone()
    };
    shared_document::write(client, ID, ground, &Envelope { rebuild }).await
}
