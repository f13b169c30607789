//! The lease: of several followers of the same index one acts, the others stand by.
//!
//! The lease is a document beside the positions. Whoever holds it writes it again and again; who
//! stands by watches it, by its own clock alone, and takes it over once it was not written for the
//! lease's time. Elasticsearch decides between two who try (compare-and-set by sequence number). A
//! holder that was asleep finds out at its next renewal; what it writes until then changes nothing,
//! because versions decide about documents, and a position that goes back is only read again.

use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The document's id; no shard is called so.
const ID: &str = "lease";

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    /// Names a process: host, process id and a random number.
    holder: String,
    /// Whether the holder has given it up.
    released: bool,
    /// By the holder's clock; for people.
    renewed_at: String,
}

/// One state of the document: the compare-and-set's ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seq_no: u64,
    primary_term: u64,
}

/// The document as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    place: Place,
    document: Document,
}

/// One follower's hand on the lease.
#[derive(Debug)]
pub struct Lease {
    client: SearchClient,
    holder: String,
    length: Duration,
    held: Option<Place>,
    seen: Option<(Place, Instant)>,
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
            seen: None,
        }
    }

    /// Takes the lease if it is free: never held, given up, this one's own, or not written for its
    /// time while this one watched.
    pub async fn try_take(&mut self) -> Result<Attempt, SearchError> {
        let found = self.find().await?;
        let ground = match &found {
            None => None,
            Some(found) if self.may_take(found, Instant::now()) => Some(found.place),
            Some(found) => return Ok(Attempt::HeldBy(found.document.holder.clone())),
        };
        match self.write(ground, false).await? {
            Some(place) => {
                self.held = Some(place);
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
        self.held = self.write(Some(held), false).await?;
        if self.held.is_some() {
            return Ok(Renewal::Held);
        }
        // A renewal whose answer was lost looks like somebody else's.
        self.held = self.find().await?.and_then(|found| self.own(&found));
        Ok(match self.held {
            Some(_) => Renewal::Held,
            None => Renewal::Lost,
        })
    }

    /// Gives it up, so that another need not wait. Where that fails, its time runs out.
    pub async fn release(&mut self) {
        if let Some(held) = self.held.take()
            && let Err(error) = self.write(Some(held), true).await
        {
            tracing::debug!(%error, "The lease was not given up; it runs out.");
        }
    }

    fn own(&self, found: &Found) -> Option<Place> {
        let is_own = found.document.holder == self.holder && !found.document.released;
        is_own.then_some(found.place)
    }

    fn may_take(&mut self, found: &Found, now: Instant) -> bool {
        if found.document.released || found.document.holder == self.holder {
            return true;
        }
        match self.seen {
            Some((place, since)) if place == found.place => now - since >= self.length,
            Some(_) | None => {
                self.seen = Some((found.place, now));
                false
            }
        }
    }

    async fn find(&self) -> Result<Option<Found>, SearchError> {
        let answer = match self.client.json(Method::GET, &self.path(), None).await {
            Ok(answer) => answer,
            Err(SearchError::Definite(text)) if text.contains("status 404") => return Ok(None),
            Err(error) => return Err(error),
        };
        let document = serde_json::from_value(answer["_source"].clone());
        let place = place_of(&answer);
        match (document, place) {
            (Ok(document), Some(place)) => Ok(Some(Found { place, document })),
            (Ok(_) | Err(_), _) => Err(SearchError::Definite(format!(
                "the lease cannot be read: {answer}"
            ))),
        }
    }

    /// Writes the document where it still is as at `ground`; `None` where it is not.
    async fn write(
        &self,
        ground: Option<Place>,
        released: bool,
    ) -> Result<Option<Place>, SearchError> {
        let path = match ground {
            Some(Place {
                seq_no,
                primary_term,
            }) => format!(
                "{}?if_seq_no={seq_no}&if_primary_term={primary_term}",
                self.path()
            ),
            None => format!("{}?op_type=create", self.path()),
        };
        let document = json!(Document {
            holder: self.holder.clone(),
            released,
            renewed_at: now(),
        });
        let written = self.client.json(Method::PUT, &path, Some(&document));
        match written.await {
            Ok(answer) => place_of(&answer).map(Some).ok_or_else(|| {
                SearchError::Definite(format!("the lease was written, but how? {answer}"))
            }),
            Err(SearchError::Definite(text)) if text.contains("status 409") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self) -> String {
        format!("/{}/_doc/{ID}", self.client.names().follower_index)
    }
}

fn place_of(answer: &Value) -> Option<Place> {
    Some(Place {
        seq_no: answer["_seq_no"].as_u64()?,
        primary_term: answer["_primary_term"].as_u64()?,
    })
}
