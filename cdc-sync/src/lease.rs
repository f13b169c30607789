//! The lease: of several followers of the same index one acts, the others stand by.
//!
//! The lease is a document beside the positions. Whoever holds it writes it again and again; who
//! stands by watches it, by its own clock alone, and takes it over once it was not written for the
//! lease's time, or at once where the holder was a process of the same machine that is gone.
//! Elasticsearch decides between two who try (compare-and-set by sequence number).
//!
//! A holder that was asleep finds out at its next renewal. What it writes until then does no harm:
//! versions decide about documents, a position that goes back is only read again, and a step of a
//! rebuild writes down that it still holds before it removes or exchanges an index.

use crate::process_identity;
use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use crate::shared_document::{Found, Ground, find, write};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The document's id; no shard is called so.
const ID: &str = "lease";

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    /// Names a process: host, process id and a random number.
    holder: String,
    /// Which process that is, for others on its machine.
    #[serde(default)]
    process: Option<String>,
    /// Whether the holder has given it up.
    released: bool,
    /// By the holder's clock; for people.
    renewed_at: String,
}

/// One follower's hand on the lease.
#[derive(Debug)]
pub struct Lease {
    client: SearchClient,
    holder: String,
    length: Duration,
    held: Option<Ground>,
    freshness: Freshness,
    seen: Option<(Ground, Instant)>,
}

/// How lately the lease was renewed, by this process's own clock: after its time somebody else may hold
/// it, and nothing new is begun by it.
#[derive(Debug, Clone)]
pub struct Freshness {
    length: Duration,
    renewed: watch::Sender<Option<Instant>>,
}

impl Freshness {
    fn of(length: Duration) -> Self {
        Self {
            length,
            renewed: watch::Sender::new(None),
        }
    }

    /// Waits until the lease is held for certain.
    pub async fn fresh(&self) {
        let mut renewed = self.renewed.subscribe();
        let is_fresh = |at: &Option<Instant>| at.is_some_and(|at| at.elapsed() < self.length);
        // The sender is ours, so it is not gone.
        let _ = renewed.wait_for(is_fresh).await;
    }
}

/// What an attempt to take the lease came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It is held now.
    Held,
    /// This one holds it.
    HeldBy(String),
}

/// Whether the lease is still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It is.
    Held,
    /// Somebody else has taken it.
    Lost,
}

impl Lease {
    /// A hand that holds nothing yet.
    pub fn new(client: SearchClient, length: Duration) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
        let holder = format!(
            "{host}/{}/{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        Self {
            client,
            holder,
            length,
            held: None,
            freshness: Freshness::of(length),
            seen: None,
        }
    }

    /// Takes the lease if it is free: never held, given up, this one's own, of a process that is gone,
    /// or not written for its time while this one watched.
    pub async fn try_take(&mut self) -> Result<Attempt, SearchError> {
        let found = self.find().await;
        if found.is_err() {
            // Of what was not seen nobody knows whether it was renewed.
            self.seen = None;
        }
        let found = found?;
        let ground = match &found {
            None => None,
            Some(found) if self.may_take(found, Instant::now()) => Some(found.ground),
            Some(found) => return Ok(Attempt::HeldBy(found.document.holder.clone())),
        };
        let asked = Instant::now();
        match self.write(ground, false).await? {
            Some(ground) => {
                self.held = Some(ground);
                self.freshness.renewed.send_replace(Some(asked));
                Ok(Attempt::Held)
            }
            None => Ok(Attempt::HeldBy("somebody who was quicker".to_owned())),
        }
    }

    /// Writes the lease again.
    pub async fn renew(&mut self) -> Result<Renewal, SearchError> {
        let Some(held) = self.held else {
            return Ok(Renewal::Lost);
        };
        let asked = Instant::now();
        self.held = match self.write(Some(held), false).await? {
            Some(ground) => Some(ground),
            // A renewal whose answer was lost looks like somebody else's.
            None => self.find().await?.and_then(|found| self.own(&found)),
        };
        let renewed = self.held.map(|_| asked);
        self.freshness.renewed.send_replace(renewed);
        Ok(match renewed {
            Some(_) => Renewal::Held,
            None => Renewal::Lost,
        })
    }

    /// How lately it was renewed.
    pub fn freshness(&self) -> Freshness {
        self.freshness.clone()
    }

    /// Gives it up, so that another need not wait. Where that fails, its time runs out.
    pub async fn release(&mut self) {
        if let Err(error) = self.try_release().await {
            tracing::debug!(%error, "The lease was not given up; it runs out.");
        }
    }

    async fn try_release(&mut self) -> Result<(), SearchError> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        if self.write(Some(held), true).await?.is_none()
            && let Some(found) = self.find().await?
            && let Some(own) = self.own(&found)
        {
            // The last renewal was cut off before its answer.
            self.write(Some(own), true).await?;
        }
        Ok(())
    }

    fn own(&self, found: &Found<Document>) -> Option<Ground> {
        let is_own = found.document.holder == self.holder && !found.document.released;
        is_own.then_some(found.ground)
    }

    fn may_take(&mut self, found: &Found<Document>, now: Instant) -> bool {
        let Document {
            holder,
            process,
            released,
            ..
        } = &found.document;
        let is_gone = process.as_deref().is_some_and(process_identity::is_gone);
        if *released || *holder == self.holder || is_gone {
            return true;
        }
        match self.seen {
            Some((ground, since)) if ground == found.ground => now - since >= self.length,
            Some(_) | None => {
                self.seen = Some((found.ground, now));
                false
            }
        }
    }

    async fn find(&self) -> Result<Option<Found<Document>>, SearchError> {
        find(&self.client, ID).await
    }

    /// Writes the document where it still is as at `ground`; `None` where it is not.
    async fn write(
        &self,
        ground: Option<Ground>,
        released: bool,
    ) -> Result<Option<Ground>, SearchError> {
        let document = Document {
            holder: self.holder.clone(),
            process: process_identity::own(),
            released,
            renewed_at: now(),
        };
        write(&self.client, ID, ground, &document).await
    }
}
