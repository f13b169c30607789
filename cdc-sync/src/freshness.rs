//! Writes down, once an interval, which transactions the index holds and how fresh a search is.
//!
//! How it stays honest: a watermark is read from the server, an instant and all that was committed
//! before it. Once all of that is acknowledged and refreshed, so that a search finds it, `as_of` is
//! that instant, and the next watermark is read. A follower that lags, or is gone, leaves an old one.
//! All streams do this at the same instants, when all have written what they had in hand, so that one refresh
//! serves them all.

use crate::error::FollowError;
use crate::examine::{Watermark, watermark};
use crate::lag::Lag;
use crate::position::{SavedPosition, save};
use crate::refresher::{Refresher, Seat};
use crate::search_client::{SearchClient, SearchError};
use crate::search_writer::now;
use crate::session::Session;
use crate::settings::FollowerSettings;
use crate::sinks::Applied;
use crate::snapshot::checkpoint;
use crate::source::Server;
use crate::stream_position::Position;
use crate::targets::Targets;
use metrics::{gauge, histogram};
use mysql_async::Conn;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Keeps the saved position of one server.
pub struct Keeper<'a> {
    client: &'a SearchClient,
    server: &'a Server,
    settings: &'a FollowerSettings,
    lag: &'a Lag,
    targets: &'a Targets,
    refresher: &'a Refresher,
    seat: Seat,
    saved: SavedPosition,
    pending: Option<Watermark>,
    /// When the pending watermark was asked for: everything in it was committed by then, or a moment
    /// later.
    asked: Option<Instant>,
    conn: Option<Conn>,
    trouble: Option<String>,
    may_have_checkpoint: bool,
}

impl<'a> Keeper<'a> {
    /// Goes on from `saved`; `reached` is a watermark that a snapshot has reached already.
    pub fn new(
        session: &Session<'a>,
        saved: SavedPosition,
        reached: Option<Watermark>,
        conn: Conn,
    ) -> Self {
        Self {
            client: session.client,
            server: session.server,
            settings: &session.settings.follower,
            lag: session.lag,
            targets: session.targets,
            refresher: session.refresher,
            seat: session.refresher.seat(&session.server.label),
            saved,
            pending: reached,
            asked: None,
            conn: Some(conn),
            trouble: None,
            may_have_checkpoint: true,
        }
    }

    /// Runs until `done`, and writes down where things stand then. Ends earlier only when
    /// Elasticsearch refuses for good.
    pub async fn run(
        mut self,
        mut applied: watch::Receiver<Applied>,
        done: &CancellationToken,
    ) -> Result<(), FollowError> {
        while !done.is_cancelled() {
            self.next_watermark().await;
            tokio::select! {
                () = done.cancelled() => break,
                () = self.until_time(&mut applied) => {}
            }
            let now = applied.borrow().clone();
            self.tick(&now).await?;
        }
        let last = applied.borrow().clone();
        self.tick(&last).await
    }

    /// Waits for the next tick, and until all that was read before it is written, here and by the other
    /// streams; at most half an interval, and not for who is behind.
    async fn until_time(&self, applied: &mut watch::Receiver<Applied>) {
        let tick = self.refresher.next_tick();
        self.seat.comes_to(tick);
        tokio::time::sleep_until(tick.into()).await;
        if !self.is_behind() {
            let written = applied.wait_for(|applied| applied.read_until >= tick);
            let _ = tokio::time::timeout_at(self.seat.patience(tick), written).await;
        }
        self.seat.ready_with_all(tick).await;
    }

    /// A server that does not answer leaves `as_of` as it is.
    async fn next_watermark(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let timeout = Duration::from_millis(self.settings.connect_timeout_ms);
        let conn = match self.conn.take() {
            Some(conn) => Ok(conn),
            None => self.server.connect().await,
        };
        let Ok(mut conn) = conn else { return };
        let asked = Instant::now();
        if let Ok(watermark) = watermark(&mut conn, timeout).await {
            self.asked = Some(asked);
            self.pending = Some(watermark);
            self.conn = Some(conn);
        }
    }

    async fn tick(&mut self, applied: &Applied) -> Result<(), FollowError> {
        self.report(&applied.position);
        match self.write_down(applied).await {
            Ok(()) => {
                self.trouble = None;
                Ok(())
            }
            Err(SearchError::Transient(cause)) => {
                if self.trouble.replace(cause.clone()).is_none() {
                    tracing::warn!(
                        stream = self.server.label,
                        cause,
                        "What was written cannot be made findable now, or the position not saved."
                    );
                }
                Ok(())
            }
            Err(error @ SearchError::Definite(_)) => Err(error.into()),
        }
    }

    async fn write_down(&mut self, applied: &Applied) -> Result<(), SearchError> {
        let mut next = self.saved.clone();
        next.position = applied.position.to_string();
        let complete = self.targets.complete();
        // An index that was made anew under the same alias got its documents from this stream alone.
        if complete.iter().any(|uuid| next.speaks_of(uuid)) {
            next.index_uuid = complete.join(",");
        }
        if is_reached(self.pending.as_ref(), &applied.position) {
            self.refresher.refresh_after(applied.documents_at).await?;
            if let Some(asked) = self.asked.take() {
                histogram!("follower_searchable_seconds", "stream" => self.server.label.clone())
                    .record(asked.elapsed().as_secs_f64());
            }
            next.as_of = self
                .pending
                .take()
                .map_or(next.as_of, |watermark| watermark.at);
        }
        if next != self.saved {
            next.saved_at = now();
            save(self.client, &next).await?;
            self.saved = next;
        }
        self.forget_snapshot().await?;
        // What was not all of the watermark is found as well; the position has not waited for it.
        if self.is_behind() {
            self.refresher.refresh_seldom(applied.documents_at).await
        } else {
            self.refresher.refresh_after(applied.documents_at).await
        }
    }

    fn is_behind(&self) -> bool {
        let interval = Duration::from_millis(self.settings.freshness_interval_ms);
        is_behind(self.asked.map(|asked| asked.elapsed()), interval)
    }

    /// How far a snapshot has come need not be known once there is a position.
    async fn forget_snapshot(&mut self) -> Result<(), SearchError> {
        if self.may_have_checkpoint {
            checkpoint::forget(self.client, &self.saved.shards).await?;
            self.may_have_checkpoint = false;
        }
        Ok(())
    }

    fn report(&self, position: &Position) {
        self.lag.as_of(&self.server.label, &self.saved.as_of);
        let behind = self
            .pending
            .as_ref()
            .map_or(0, |pending| position.lacks(&pending.executed));
        gauge!("follower_transactions_behind", "stream" => self.server.label.clone())
            .set(behind as f64);
    }
}

/// Whether a watermark that was asked for so long ago is late: whoever keeps up reaches it within two
/// intervals, or while the refresh after them waits for it.
fn is_behind(waiting: Option<Duration>, interval: Duration) -> bool {
    waiting.is_some_and(|waiting| waiting > 2 * interval + interval / 2)
}

fn is_reached(pending: Option<&Watermark>, position: &Position) -> bool {
    pending.is_some_and(|watermark| position.contains(&watermark.executed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(intervals: &str) -> Position {
        format!("{UUID}:{intervals}").parse().unwrap()
    }

    #[test]
    fn a_watermark_is_reached_when_all_of_it_is_applied() {
        let watermark = Watermark {
            at: "2026-11-21T09:05:07.000042Z".into(),
            executed: set("1-9"),
        };
        assert!(!is_reached(Some(&watermark), &set("1-8")));
        assert!(!is_reached(Some(&watermark), &set("1-7:9-20")));
        assert!(is_reached(Some(&watermark), &set("1-9")));
        assert!(is_reached(Some(&watermark), &set("1-20")));
        assert!(!is_reached(None, &set("1-20")));
    }

    #[test]
    fn who_has_not_reached_a_watermark_for_two_intervals_and_a_half_is_behind() {
        let (ms, interval) = (Duration::from_millis, Duration::from_millis(1_000));
        assert!(!is_behind(None, interval));
        assert!(!is_behind(Some(ms(2_500)), interval));
        assert!(is_behind(Some(ms(2_501)), interval));
    }
}
