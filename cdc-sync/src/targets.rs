//! Where documents go: into the orders' index, and while there is another beside it, into both.
//!
//! Whoever writes a batch passes the gate and writes wherever it says then; whoever changes where
//! documents go closes the gate first, and so finds nobody in the middle of a batch.

use crate::index::{beside_alias, index_behind, optional_index_behind};
use crate::rebuild::record;
use crate::search_client::{SearchClient, SearchError};
use crate::stream_position::Position;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, RwLockReadGuard};
use tokio_util::sync::CancellationToken;

/// The closed gate; inside, whether documents also go to the index beside.
pub type ClosedGate = OwnedRwLockWriteGuard<bool>;

/// Shared by everything that writes documents in this process.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    gate: Arc<RwLock<bool>>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The uuids of the indices that hold every order up to the position.
    complete: Vec<String>,
    /// What each stream has written since this follower acts.
    applied: HashMap<String, Position>,
    /// Why the index beside cannot be written any more.
    failure: Option<String>,
    /// Cancelled once it is written down that the index beside is to be removed: nobody need write to
    /// it any more.
    written_off: CancellationToken,
}

impl Targets {
    /// As they were left by whoever followed before.
    pub async fn find(client: &SearchClient) -> Result<Self, SearchError> {
        let beside = optional_index_behind(client, &beside_alias(client.names())).await?;
        let rebuild = record::load(client).await?;
        let behind = index_behind(client, &client.names().alias).await?;
        let targets = Self::default();
        // Of one that nobody has written down nothing is known, and nobody could give it up.
        *targets.gate.write().await = beside.is_some() && rebuild.is_some();
        let is_complete = rebuild.is_some_and(|found| found.document.phase.is_filled());
        let beside = beside.filter(|_| is_complete);
        targets.are_complete([Some(behind), beside].into_iter().flatten().map(|i| i.uuid));
        Ok(targets)
    }

    /// To be held while a batch is written: whether it is to be written beside too.
    pub async fn writing(&self) -> RwLockReadGuard<'_, bool> {
        self.gate.read().await
    }

    /// Closes the gate: while the answer is held nobody writes. None where somebody goes on writing
    /// for too long.
    pub async fn closed(&self, within: Duration) -> Option<ClosedGate> {
        let closed = self.gate.clone().write_owned();
        tokio::time::timeout(within, closed).await.ok()
    }

    /// Says which indices hold every order up to the position, by their uuids.
    pub fn are_complete(&self, uuids: impl Iterator<Item = String>) {
        self.lock().complete = uuids.collect();
    }

    /// Which indices hold every order up to the position.
    pub fn complete(&self) -> Vec<String> {
        self.lock().complete.clone()
    }

    /// Says how far a stream has written.
    pub fn has_applied(&self, stream: &str, position: &Position) {
        self.lock()
            .applied
            .insert(stream.to_owned(), position.clone());
    }

    /// Whether a stream has written all of this since this follower acts.
    pub fn contains(&self, stream: &str, position: &Position) -> bool {
        let shared = self.lock();
        let applied = shared.applied.get(stream);
        applied.is_some_and(|applied| applied.contains(position))
    }

    /// Says that the index beside cannot be written any more.
    pub fn beside_fails(&self, cause: String) {
        self.lock().failure.get_or_insert(cause);
    }

    /// Why the index beside cannot be written any more.
    pub fn beside_failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Lets everybody go who waits for the index beside. It must be written down before that it is to
    /// be removed: from now on it lacks documents.
    pub fn write_off_beside(&self) {
        self.lock().written_off.cancel();
    }

    /// Cancelled once nobody need write to the index beside any more.
    pub fn written_off(&self) -> CancellationToken {
        self.lock().written_off.clone()
    }

    /// There is no index beside any more, and of the next one nothing is known yet.
    pub fn forget_beside(&self) {
        let mut shared = self.lock();
        shared.failure = None;
        shared.written_off = CancellationToken::new();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
