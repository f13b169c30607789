//! Writes orders again because an operator asks for it, beside the streams.
//!
//! A row is written with its version to wherever the streams write, so what they bring meanwhile, or
//! brought before, is never replaced by something older. Nothing that happens to such a snapshot ends the
//! following, and a shard that cannot be read does not hold up the others.

use super::WRITTEN_DOWN_EVERY;
use super::chunks::Chunks;
use super::progress::Meter;
use super::record::{self, Phase, Snapshot};
use crate::error::{FollowError, Transient};
use crate::health::Health;
use crate::repair;
use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::SearchWriter;
use crate::settings::Settings;
use crate::shared_document::{Found, Ground};
use crate::source::{Server, Shard};
use crate::targets::Targets;
use metrics::gauge;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is asked what is wanted.
const POLL: Duration = Duration::from_millis(500);

/// Does what is wanted, on behalf of the follower that acts.
pub struct Snapshotter<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// Where the indices are.
    pub client: &'a SearchClient,
    /// Where the orders are.
    pub servers: &'a [Server],
    /// Where documents go.
    pub targets: &'a Targets,
    /// Where the writing says how it is.
    pub health: &'a Health,
    /// Asks it to stop.
    pub stop: &'a CancellationToken,
}

/// A snapshot in hand, with the state it was read in.
struct Held {
    ground: Ground,
    snapshot: Snapshot,
}

/// Why one is left before its end.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    /// The operator, or another follower, has written something else meanwhile: look again.
    #[error("somebody else has changed the snapshot")]
    Overtaken,
    /// It is tried again.
    #[error("{0}")]
    Failed(#[from] FollowError),
    /// It is tried again after the other shards.
    #[error("{shard}: {cause}")]
    OfShard {
        /// Such as `orders-0`.
        shard: String,
        /// Why.
        cause: FollowError,
    },
}

impl From<SearchError> for Interrupted {
    fn from(error: SearchError) -> Self {
        Self::Failed(error.into())
    }
}

impl Snapshotter<'_> {
    /// Does what is wanted until asked to stop.
    pub async fn run(&self) {
        let mut delays = self.settings.follower.backoff();
        let mut told = None;
        loop {
            let stepped = tokio::select! {
                () = self.stop.cancelled() => return,
                stepped = self.step() => stepped,
            };
            let pause = match stepped {
                Ok(()) | Err(Interrupted::Overtaken) => {
                    (delays, told) = (self.settings.follower.backoff(), None);
                    POLL
                }
                Err(error @ (Interrupted::Failed(_) | Interrupted::OfShard { .. })) => {
                    self.tell(error.to_string(), &mut told).await;
                    POLL + delays.next().unwrap_or_default()
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn step(&self) -> Result<(), Interrupted> {
        let Ok(Some(mut held)) = self.load().await else {
            // While Elasticsearch is away everybody else says so.
            return Ok(());
        };
        if !held.snapshot.phase.goes_on() {
            return Ok(());
        }
        held.snapshot.trouble = None;
        let number = held.snapshot.number;
        tokio::select! {
            copied = self.copy(&mut held) => copied,
            () = self.is_not_wanted_any_more(number) => Ok(()),
        }
    }

    /// Waits until the operator has ended it, however long the next rows take.
    async fn is_not_wanted_any_more(&self, number: u64) {
        loop {
            tokio::time::sleep(POLL).await;
            if let Ok(Some(held)) = self.load().await
                && (held.snapshot.number != number || !held.snapshot.phase.goes_on())
            {
                tracing::info!(snapshot = %held.snapshot, "The snapshot is not wanted any more.");
                return;
            }
        }
    }

    /// Writes what is left of all shards. One that fails is tried again after the others.
    async fn copy(&self, held: &mut Held) -> Result<(), Interrupted> {
        let shards = held.snapshot.wanted.shards.clone();
        // So that it can be told how much there is to do; who does not answer is asked again.
        for shard in &shards {
            let found = self.find_last(shard, held).await;
            tracing::debug!(shard, ?found, "Where the shard ends.");
        }
        held.snapshot.phase = Phase::Copying;
        self.save(held).await?;
        tracing::info!(snapshot = %held.snapshot, "A snapshot that was asked for goes on.");
        let mut failed = None;
        for shard in shards {
            match self.copy_shard(&shard, held).await {
                Ok(()) => {}
                Err(Interrupted::Failed(cause)) => {
                    failed.get_or_insert(Interrupted::OfShard { shard, cause });
                }
                Err(error @ (Interrupted::Overtaken | Interrupted::OfShard { .. })) => {
                    return Err(error);
                }
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        // Who is told that it is done finds what was written.
        repair::refresh(self.client).await?;
        (held.snapshot.phase, held.snapshot.trouble) = (Phase::Done, None);
        self.save(held).await?;
        tracing::info!(snapshot = %held.snapshot, "The snapshot is complete.");
        Ok(())
    }

    async fn copy_shard(&self, name: &str, held: &mut Held) -> Result<(), Interrupted> {
        if held.snapshot.progress.is_done(name) {
            return Ok(());
        }
        let last = self.find_last(name, held).await?;
        let after = held.snapshot.progress.after(name);
        let chunks = self.open(name, after).await?;
        let mut chunks = chunks.until(last).created(held.snapshot.wanted.created);
        let writer = self.writer(name);
        let meter = Meter::from(held.snapshot.progress.seen);
        let mut written_down = Instant::now();
        let mut next = chunks.next().await?;
        while let Some(chunk) = next {
            let (documents, dead_letters, _) = chunk.batch.into_parts();
            let written = writer.write_everywhere(documents, dead_letters);
            // The next rows are read while these are written.
            next = tokio::try_join!(written, chunks.next())?.1;
            let progress = &mut held.snapshot.progress;
            progress.goes_on(name, chunk.last, chunk.seen, chunk.rows);
            progress.rows_per_second = meter.rows_per_second(progress.seen);
            self.is_well(name, held);
            if written_down.elapsed() >= WRITTEN_DOWN_EVERY {
                written_down = Instant::now();
                self.save(held).await?;
            }
        }
        held.snapshot.progress.ends(name);
        self.save(held).await
    }

    /// What held this shard up is over.
    fn is_well(&self, name: &str, held: &mut Held) {
        let of_this = format!("{name}: ");
        let trouble = held.snapshot.trouble.take();
        held.snapshot.trouble = trouble.filter(|trouble| !trouble.starts_with(&of_this));
    }

    /// Where the shard's rows end: what is newer comes from the stream.
    async fn find_last(&self, name: &str, held: &mut Held) -> Result<u64, FollowError> {
        if let Some(last) = held.snapshot.progress.last.get(name) {
            return Ok(*last);
        }
        let last = self.open(name, 0).await?.last().await?;
        held.snapshot.progress.last.insert(name.to_owned(), last);
        Ok(last)
    }

    async fn open(&self, name: &str, after: u64) -> Result<Chunks<'_>, FollowError> {
        let (server, shard) = self.found(name)?;
        Chunks::open(server, shard, &self.settings.follower, after).await
    }

    fn found(&self, name: &str) -> Result<(&Server, &Shard), FollowError> {
        let shards = self.servers.iter().flat_map(|server| {
            let shards = server.shards.iter();
            shards.map(move |shard| (server, shard))
        });
        let mut named = shards.filter(|(_, shard)| shard.name.to_string() == name);
        named.next().ok_or_else(|| {
            let text = format!("this follower knows no order shard {name}");
            Transient::Broken(text).into()
        })
    }

    fn writer(&self, name: &str) -> SearchWriter {
        SearchWriter::new(
            self.client.clone(),
            self.settings.follower.clone(),
            self.health.clone(),
            self.targets.clone(),
            format!("snapshot of {name}"),
        )
    }

    /// Says once what holds it up, in the log and where the operator looks.
    async fn tell(&self, trouble: String, told: &mut Option<String>) {
        if told.as_ref() != Some(&trouble) {
            tracing::warn!(trouble, "The snapshot is held up; it is tried again.");
            *told = Some(trouble.clone());
        }
        if let Ok(Some(mut held)) = self.load().await
            && held.snapshot.phase.goes_on()
        {
            held.snapshot.trouble = Some(trouble);
            // Where that fails, the log has it.
            let _ = self.save(&mut held).await;
        }
    }

    async fn load(&self) -> Result<Option<Held>, SearchError> {
        let found = record::load(self.client).await?;
        Ok(found.map(|Found { ground, document }| Held {
            ground,
            snapshot: document,
        }))
    }

    async fn save(&self, held: &mut Held) -> Result<(), Interrupted> {
        let saved = record::save(self.client, Some(held.ground), &held.snapshot).await?;
        held.ground = saved.ok_or(Interrupted::Overtaken)?;
        gauge!("follower_asked_snapshot_share").set(held.snapshot.progress.share());
        Ok(())
    }
}
