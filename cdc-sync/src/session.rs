//! One attempt at following one server: checks, a snapshot where one is needed, then the stream until
//! it ends.

use crate::dump::open_stream;
use crate::error::{Definite, FollowError, Transient};
use crate::event_producer::EventProducer;
use crate::event_publisher::EventPublisher;
use crate::examine::{Watermark, examine, judge};
use crate::freshness::Keeper;
use crate::hazard::Hazard;
use crate::health::Health;
use crate::index::ensure_indices;
use crate::lag::Lag;
use crate::lease::Freshness;
use crate::position::{NEVER, SavedPosition, Start, load, start};
use crate::preflight::{PositionState, PreflightError};
use crate::refresher::Refresher;
use crate::replication::Reader;
use crate::search_client::SearchClient;
use crate::search_writer::{SearchWriter, now};
use crate::settings::Settings;
use crate::sinks::{Applied, Sinks};
use crate::snapshot::first;
use crate::source::Server;
use crate::stream_position::Position;
use crate::targets::Targets;
use mysql_async::Conn;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Which stream follows which server, so that no server is followed twice under two addresses.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<HashMap<String, String>>>);

impl Claims {
    fn claim(&self, uuid: &str, label: &str) -> Result<(), PreflightError> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|_, holder| holder != label);
        match claims.get(uuid) {
            Some(other) => Err(PreflightError::TwoAddresses(
                label.to_owned(),
                other.clone(),
            )),
            None => {
                claims.insert(uuid.to_owned(), label.to_owned());
                Ok(())
            }
        }
    }
}

/// What every attempt at one server shares.
pub struct Session<'a> {
    /// The server.
    pub server: &'a Server,
    /// All settings.
    pub settings: &'a Settings,
    /// Where the documents go.
    pub client: &'a SearchClient,
    /// Where it says how it is.
    pub health: &'a Health,
    /// The servers of the other streams.
    pub claims: &'a Claims,
    /// Where it says how fresh search is.
    pub lag: &'a Lag,
    /// What it may act by.
    pub lease: &'a Freshness,
    /// Where documents go.
    pub targets: &'a Targets,
    /// Who publishes events, for all streams; none where they are switched off.
    pub events: &'a Option<Arc<EventProducer>>,
    /// What makes documents found, for all streams.
    pub refresher: &'a Refresher,
    /// Asks it to stop.
    pub stop: &'a CancellationToken,
}

/// What is known once everything was checked.
struct Begun {
    saved: SavedPosition,
    start: Start,
    /// The saved position is this server's own.
    is_own: bool,
}

/// Where a stream begins.
struct Beginning {
    saved: SavedPosition,
    position: Position,
    reached: Option<Watermark>,
}

impl Session<'_> {
    /// Follows until asked to stop, or until something ends it. What is in hand is written for a
    /// while after that.
    pub async fn run(&self) -> Result<(), FollowError> {
        let grace = Duration::from_millis(self.settings.follower.stop_timeout_ms);
        tokio::select! {
            ended = self.follow() => ended,
            () = async {
                self.stop.cancelled().await;
                tokio::time::sleep(grace).await;
            } => Ok(()),
        }
    }

    async fn follow(&self) -> Result<(), FollowError> {
        self.lease.fresh().await;
        let mut conn = self.server.connect().await?;
        let timeout = Duration::from_millis(self.settings.follower.answer_timeout_ms);
        let Begun {
            saved,
            start,
            is_own,
        } = within(timeout, self.begin(&mut conn)).await?;
        let position = match start {
            Start::Resume { position, .. } => position,
            Start::Snapshot { why } => return self.follow_from_snapshot(conn, saved, why).await,
        };
        let beginning = Beginning {
            saved: saved.clone(),
            position,
            reached: None,
        };
        match self.stream(conn, beginning).await {
            Err(FollowError::Definite(Definite::Hazard(Hazard::Diverged(cause)))) if !is_own => {
                tracing::warn!(
                    stream = self.server.label,
                    cause,
                    "The server that has taken over cannot go on from our position."
                );
                let conn = self.server.connect().await?;
                let why =
                    "the binlogs of the server that has taken over begin after the saved position";
                self.follow_from_snapshot(conn, saved, why).await
            }
            ended => ended,
        }
    }

    async fn follow_from_snapshot(
        &self,
        mut conn: Conn,
        saved: SavedPosition,
        why: &'static str,
    ) -> Result<(), FollowError> {
        match self.snapshot(&mut conn, saved, why).await? {
            Some(beginning) => self.stream(conn, beginning).await,
            None => Ok(()),
        }
    }

    /// Checks everything that must hold, and finds where to begin.
    async fn begin(&self, conn: &mut Conn) -> Result<Begun, FollowError> {
        let epoch = self.settings.stores.slot_map_epoch;
        let name = examine(self.server, conn, epoch).await?;
        self.claims.claim(&name, &self.server.label)?;
        let index_uuid = ensure_indices(self.client).await?;
        self.health.search(Ok(()));
        // What an attempt before this one was waiting for is asked for again.
        self.health.events(Ok(()));
        let shards: Vec<String> = self
            .server
            .shards
            .iter()
            .map(|s| s.name.to_string())
            .collect();
        let found = load(self.client, &shards).await?;
        let is_own = found.iter().flatten().any(|saved| saved.server == name);
        let start = start(&found, &index_uuid);
        let start = self.judged(conn, start, is_own).await?;
        let as_of = match &start {
            Start::Resume { as_of, .. } => as_of.clone(),
            Start::Snapshot { .. } => NEVER.to_owned(),
        };
        let saved = SavedPosition {
            server: name,
            address: self.server.address.clone(),
            shards,
            index_uuid,
            position: String::new(),
            as_of,
            saved_at: now(),
        };
        Ok(Begun {
            saved,
            start,
            is_own,
        })
    }

    /// Whether the server can go on from the saved position.
    async fn judged(
        &self,
        conn: &mut Conn,
        start: Start,
        is_own: bool,
    ) -> Result<Start, FollowError> {
        let Start::Resume { position, .. } = &start else {
            return Ok(start);
        };
        match judge(conn, position).await? {
            PositionState::Usable => {
                if !is_own {
                    tracing::warn!(
                        stream = self.server.label,
                        address = self.server.address,
                        "Another server has taken over, which has executed all of our position; it is \
                         followed from there."
                    );
                }
                Ok(start)
            }
            PositionState::Purged => Ok(Start::Snapshot {
                why: "the server has purged the binlogs after the saved position",
            }),
            PositionState::Foreign => Ok(Start::Snapshot {
                why: "the saved position is of the other database, MySQL or MariaDB",
            }),
            PositionState::Ahead if is_own => Err(PreflightError::Ahead {
                position: position.to_string(),
            }
            .into()),
            PositionState::Ahead => Ok(Start::Snapshot {
                why: "another server is at this address, which has not executed all of the saved position",
            }),
        }
    }

    /// Copies all orders; `None` when asked to stop before the end.
    async fn snapshot(
        &self,
        conn: &mut Conn,
        saved: SavedPosition,
        why: &'static str,
    ) -> Result<Option<Beginning>, FollowError> {
        // What was written before may be in another index, or of another server: nobody is to count on it.
        self.targets
            .has_applied(&self.server.label, &Position::default());
        let watermark = tokio::select! {
            taken = first::take(self, conn, &saved, why) => taken?,
            () = self.stop.cancelled() => return Ok(None),
        };
        Ok(Some(Beginning {
            saved,
            position: watermark.executed.clone(),
            reached: Some(watermark),
        }))
    }

    /// Reads, writes and keeps the position, side by side, until one of them ends.
    async fn stream(&self, conn: Conn, beginning: Beginning) -> Result<(), FollowError> {
        let follower = &self.settings.follower;
        let timeout = Duration::from_millis(follower.answer_timeout_ms);
        let opening = open_stream(self.server, follower, &beginning.position);
        let mut stream = within(timeout, opening).await?;
        let (asks, asked) = mpsc::channel(1);
        let label = &self.server.label;
        self.targets.has_applied(label, &beginning.position);
        let (applied_by, applied) = watch::channel(Applied::at(beginning.position));
        let keeper = Keeper::new(self, beginning.saved, beginning.reached, conn);
        let sinks = self.sinks();
        let (halt, done) = (self.stop.child_token(), CancellationToken::new());
        let read = async {
            let reader = Reader::new(self);
            reader.run(&mut stream, asked, &halt).await
        };
        let write = async {
            let written = sinks.run(asks, &applied_by).await;
            halt.cancel();
            written
        };
        let work = async {
            let ended = tokio::join!(read, write);
            done.cancel();
            ended
        };
        let keep = async {
            let kept = keeper.run(applied, &done).await;
            halt.cancel();
            kept
        };
        let ((read, written), kept) = tokio::join!(work, keep);
        written.and(kept).and(read)
    }

    /// Where the changes of this server go.
    pub(crate) fn sinks(&self) -> Sinks {
        let (settings, label) = (&self.settings.follower, &self.server.label);
        let publisher = |producer: &Arc<EventProducer>| EventPublisher {
            producer: Arc::clone(producer),
            settings: settings.clone(),
            health: self.health.clone(),
            label: label.clone(),
        };
        Sinks {
            writer: SearchWriter::new(
                self.client.clone(),
                settings.clone(),
                self.health.clone(),
                self.targets.clone(),
                label.clone(),
            ),
            publisher: self.events.as_ref().map(publisher),
        }
    }
}

/// The answer, or that there was none in time.
pub async fn within<T, E: Into<FollowError>>(
    timeout: Duration,
    ask: impl Future<Output = Result<T, E>>,
) -> Result<T, FollowError> {
    match tokio::time::timeout(timeout, ask).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Transient::NoAnswer {
            ms: timeout.as_millis(),
        }
        .into()),
    }
}

/// How an attempt ended, for the loop around it.
pub fn definite(error: FollowError) -> Result<Transient, Definite> {
    match error {
        FollowError::Transient(cause) => Ok(cause),
        FollowError::Definite(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_followed_by_one_stream_and_a_stream_may_change_its_server() {
        let claims = Claims::default();
        claims.claim("u1", "orders-0").unwrap();
        claims.claim("u1", "orders-0").unwrap();
        assert!(claims.claim("u1", "orders-1").is_err());
        claims.claim("u2", "orders-0").unwrap();
        claims.claim("u1", "orders-1").unwrap();
    }
}
