//! The snapshot of all orders of a server, before it is followed.

use super::WRITTEN_DOWN_EVERY;
use super::checkpoint::{self, Checkpoint};
use super::chunks::Chunks;
use super::progress::{Meter, Progress};
use crate::error::{FollowError, Transient};
use crate::examine::{Watermark, judge, snapshot_watermark};
use crate::position::SavedPosition;
use crate::preflight::PositionState;
use crate::search_client::SearchError;
use crate::session::{Session, within};
use crate::shared_document::Ground;
use crate::sinks::Sinks;
use crate::source::Shard;
use metrics::gauge;
use mysql_async::Conn;
use std::time::{Duration, Instant};

const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Copies all orders of the session's server, or what is left of them; answers from where on the stream
/// is to be followed. `saved` says of which server, shards and index.
pub async fn take(
    session: &Session<'_>,
    conn: &mut Conn,
    saved: &SavedPosition,
    why: &'static str,
) -> Result<Watermark, FollowError> {
    let mut first = match go_on(session, conn, saved).await? {
        Some(first) => first,
        None => begin(session, conn, saved, why).await?,
    };
    for shard in &session.server.shards {
        first.copy(shard).await?;
    }
    let (stream, progress) = (&session.server.label, &first.checkpoint.progress);
    tracing::info!(stream, %progress, "The snapshot is complete.");
    Ok(first.watermark)
}

/// A snapshot in hand.
struct First<'a> {
    session: &'a Session<'a>,
    sinks: Sinks,
    watermark: Watermark,
    checkpoint: Checkpoint,
    ground: Option<Ground>,
    meter: Meter,
    saved: Instant,
    told: Instant,
    why: String,
}

/// One that was begun before, if it is of any use.
async fn go_on<'a>(
    session: &'a Session<'a>,
    conn: &mut Conn,
    saved: &SavedPosition,
) -> Result<Option<First<'a>>, FollowError> {
    let Some(found) = checkpoint::load(session.client, &saved.shards).await? else {
        return Ok(None);
    };
    let (stream, checkpoint) = (&session.server.label, found.document);
    match usable(session, conn, saved, &checkpoint).await? {
        Ok(watermark) => {
            let progress = &checkpoint.progress;
            tracing::info!(stream, %progress, "The snapshot goes on where it was.");
            let why = "going on with one that was begun".to_owned();
            let ground = Some(found.ground);
            Ok(Some(First::new(
                session, watermark, checkpoint, ground, why,
            )))
        }
        Err(why) => {
            tracing::warn!(
                stream,
                why,
                "A snapshot that was begun cannot be gone on with."
            );
            checkpoint::forget(session.client, &saved.shards).await?;
            Ok(None)
        }
    }
}

/// From where on the stream is to be followed after it, or why it is of no use.
async fn usable(
    session: &Session<'_>,
    conn: &mut Conn,
    saved: &SavedPosition,
    checkpoint: &Checkpoint,
) -> Result<Result<Watermark, &'static str>, FollowError> {
    if let Some(why) = checkpoint.misfit(saved) {
        return Ok(Err(why));
    }
    let Ok(executed) = checkpoint.watermark.parse() else {
        return Ok(Err("where it began cannot be read"));
    };
    let timeout = Duration::from_millis(session.settings.follower.answer_timeout_ms);
    Ok(match within(timeout, judge(conn, &executed)).await? {
        PositionState::Usable => Ok(Watermark {
            at: checkpoint.watermark_at.clone(),
            executed,
        }),
        PositionState::Purged => Err("the server has purged the binlogs after its beginning"),
        PositionState::Ahead => Err("the server has not executed all that it had then"),
        PositionState::Foreign => Err("the server is of the other database now"),
    })
}

async fn begin<'a>(
    session: &'a Session<'a>,
    conn: &mut Conn,
    saved: &SavedPosition,
    why: &'static str,
) -> Result<First<'a>, FollowError> {
    let server = session.server;
    tracing::info!(
        stream = server.label,
        why,
        "A snapshot of all orders begins."
    );
    let timeout = Duration::from_millis(session.settings.follower.answer_timeout_ms);
    // Before any row is read, and before it is known how many there are.
    let watermark = snapshot_watermark(conn, timeout).await?;
    let mut progress = Progress::default();
    for shard in &server.shards {
        let mut chunks = Chunks::open(server, shard, &session.settings.follower, 0).await?;
        progress
            .last
            .insert(shard.name.to_string(), chunks.last().await?);
    }
    let checkpoint = Checkpoint {
        server: saved.server.clone(),
        shards: saved.shards.clone(),
        index_uuid: saved.index_uuid.clone(),
        watermark: watermark.executed.to_string(),
        watermark_at: watermark.at.clone(),
        progress,
        saved_at: String::new(),
    };
    let mut first = First::new(session, watermark, checkpoint, None, why.to_owned());
    first.save().await?;
    Ok(first)
}

impl<'a> First<'a> {
    fn new(
        session: &'a Session<'a>,
        watermark: Watermark,
        checkpoint: Checkpoint,
        ground: Option<Ground>,
        why: String,
    ) -> Self {
        let first = Self {
            session,
            sinks: session.sinks(),
            watermark,
            ground,
            meter: Meter::from(checkpoint.progress.seen),
            checkpoint,
            saved: Instant::now(),
            told: Instant::now(),
            why,
        };
        first.show();
        first
    }

    /// Copies what is left of a shard. Its rows are noted once they are acknowledged.
    async fn copy(&mut self, shard: &Shard) -> Result<(), FollowError> {
        let name = shard.name.to_string();
        let progress = &self.checkpoint.progress;
        let after = progress.after(&name);
        let last = progress.last.get(&name).copied().unwrap_or(u64::MAX);
        let settings = &self.session.settings.follower;
        let chunks = Chunks::open(self.session.server, shard, settings, after).await?;
        let mut chunks = chunks.until(last);
        let mut next = chunks.next().await?;
        while let Some(chunk) = next {
            let (last, seen, rows) = (chunk.last, chunk.seen, chunk.rows);
            // The next rows are read while these are written.
            next = tokio::try_join!(self.sinks.take(chunk.batch), chunks.next())?.1;
            self.checkpoint.progress.goes_on(&name, last, seen, rows);
            self.now_and_then().await?;
        }
        self.checkpoint.progress.ends(&name);
        self.save().await
    }

    /// Writes down and tells how far it is, not too often.
    async fn now_and_then(&mut self) -> Result<(), FollowError> {
        if self.saved.elapsed() < WRITTEN_DOWN_EVERY {
            return Ok(());
        }
        self.save().await?;
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            let (stream, progress) = (&self.session.server.label, &self.checkpoint.progress);
            tracing::info!(stream, %progress, "The snapshot goes on.");
        }
        Ok(())
    }

    /// Where Elasticsearch is away this is made up for later: then more is copied again after a kill.
    async fn save(&mut self) -> Result<(), FollowError> {
        let progress = &mut self.checkpoint.progress;
        progress.rows_per_second = self.meter.rows_per_second(progress.seen);
        self.saved = Instant::now();
        self.show();
        match checkpoint::save(self.session.client, self.ground, &self.checkpoint).await {
            Ok(Some(ground)) => self.ground = Some(ground),
            Ok(None) => {
                let text = "somebody else has written down how far the snapshot is";
                return Err(Transient::Search(text.to_owned()).into());
            }
            Err(SearchError::Transient(cause)) => {
                tracing::debug!(cause, "How far the snapshot is was not written down.");
            }
            Err(error @ SearchError::Definite(_)) => return Err(error.into()),
        }
        Ok(())
    }

    fn show(&self) {
        let (label, progress) = (&self.session.server.label, &self.checkpoint.progress);
        gauge!("follower_snapshot_share", "stream" => label.clone()).set(progress.share());
        let text = format!("taking a snapshot: {}: {progress}", self.why);
        self.session.health.stream(label, Err(text));
    }
}
