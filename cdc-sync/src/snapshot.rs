//! Copies every order of a server into the index, without a lock, while everybody works.
//!
//! The watermark is read first: all that was committed before it is visible to the reads that follow,
//! and all that was committed after it comes again from the stream, which begins there. A row that
//! changed in between is written twice; its version decides. So chunks need not agree with each
//! other, and an auto-increment number that becomes visible late is not missed.

use crate::batch::Batch;
use crate::error::{Definite, FollowError};
use crate::examine::quoted;
use crate::replication::add_row;
use crate::rows::{COLUMNS, Layout, read_row};
use crate::session::within;
use crate::settings::FollowerSettings;
use crate::source::{Server, Shard};
use metrics::counter;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Reads all rows of all shards of a server and hands them on as batches. Answers how many.
pub async fn copy(
    server: &Server,
    settings: &FollowerSettings,
    batches: mpsc::Sender<Batch>,
) -> Result<u64, FollowError> {
    let mut total = 0;
    for shard in &server.shards {
        total += copy_shard(server, shard, settings, &batches).await?;
    }
    Ok(total)
}

async fn copy_shard(
    server: &Server,
    shard: &Shard,
    settings: &FollowerSettings,
    batches: &mpsc::Sender<Batch>,
) -> Result<u64, FollowError> {
    let mut chunks = Chunks::open(server, shard, settings, 0).await?;
    let (mut rows, mut told) = (0_u64, Instant::now());
    while let Some(chunk) = chunks.next().await? {
        rows += chunk.rows;
        if batches.send(chunk.batch).await.is_err() {
            // The writer is gone only when it has failed, which is told there.
            return Ok(rows);
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tracing::info!(shard = %shard.name, rows, "The snapshot goes on.");
        }
    }
    Ok(rows)
}

/// The rows of one shard in the order of their `seq`, a chunk at a time.
pub struct Chunks<'a> {
    conn: Conn,
    shard: &'a Shard,
    settings: &'a FollowerSettings,
    label: &'a str,
    layout: Layout,
    after: u64,
    pace: Pace,
}

/// Some rows of one shard.
pub struct Chunk {
    /// Their documents.
    pub batch: Batch,
    /// How many they are.
    pub rows: u64,
    /// The last one's `seq`.
    pub last: u64,
}

impl<'a> Chunks<'a> {
    /// The rows after this `seq`.
    pub async fn open(
        server: &'a Server,
        shard: &'a Shard,
        settings: &'a FollowerSettings,
        after: u64,
    ) -> Result<Self, FollowError> {
        let mut conn = server.connect().await?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        Ok(Self {
            conn,
            shard,
            settings,
            label: &server.label,
            layout: Layout::of_names(COLUMNS.iter().map(|name| name.as_bytes())),
            after,
            pace: Pace::new(settings.snapshot_rows_per_second_max),
        })
    }

    /// The next ones; none at the end.
    pub async fn next(&mut self) -> Result<Option<Chunk>, FollowError> {
        let sql = chunk_statement(self.shard);
        let timeout = Duration::from_millis(self.settings.answer_timeout_ms);
        let bounds = (self.after, self.settings.snapshot_rows_max);
        let rows: Vec<Row> = within(timeout, self.conn.exec(sql, bounds)).await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        self.after = last.get(COLUMNS.len()).unwrap_or(u64::MAX);
        let count = rows.len() as u64;
        counter!("follower_snapshot_rows_total", "stream" => self.label.to_owned())
            .increment(count);
        self.pace.keep(count).await;
        Ok(Some(Chunk {
            batch: to_batch(rows, &self.layout, self.shard)?,
            rows: count,
            last: self.after,
        }))
    }

    /// The last `seq` of the shard as it is now; 0 without rows.
    pub async fn last(&mut self) -> Result<u64, FollowError> {
        let timeout = Duration::from_millis(self.settings.answer_timeout_ms);
        let schema = quoted(&self.shard.schema);
        let sql = format!("SELECT COALESCE(MAX(seq), 0) FROM {schema}.orders");
        let last = within(timeout, self.conn.query_first::<u64, _>(sql)).await?;
        Ok(last.unwrap_or_default())
    }
}

/// Reads no faster than it may, so that a snapshot leaves the stores room for orders.
struct Pace {
    rows_per_second_max: u64,
    began: Instant,
    rows: u64,
}

impl Pace {
    /// 0 is as fast as it goes.
    fn new(rows_per_second_max: u64) -> Self {
        Self {
            rows_per_second_max,
            began: Instant::now(),
            rows: 0,
        }
    }

    async fn keep(&mut self, rows: u64) {
        self.rows += rows;
        let due = self.due();
        tokio::time::sleep_until((self.began + due).into()).await;
    }

    /// After how long so many rows may have been read.
    fn due(&self) -> Duration {
        match self.rows_per_second_max {
            0 => Duration::ZERO,
            most => Duration::from_secs_f64(self.rows as f64 / most as f64),
        }
    }
}

/// One range of the clustered index; `seq` comes last, after the columns that documents are made of.
fn chunk_statement(shard: &Shard) -> String {
    let columns = COLUMNS.join(", ");
    let schema = quoted(&shard.schema);
    format!("SELECT {columns}, seq FROM {schema}.orders WHERE seq > ? ORDER BY seq LIMIT ?")
}

fn to_batch(chunk: Vec<Row>, layout: &Layout, shard: &Shard) -> Result<Batch, FollowError> {
    let name = shard.name.to_string();
    let mut batch = Batch::default();
    for row in chunk {
        let row =
            read_row(layout, |at| row.as_ref(at).cloned()).map_err(|cause| Definite::Row {
                shard: name.clone(),
                cause,
            })?;
        add_row(&mut batch, row, &name);
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_keeps_its_pace_and_without_one_it_does_not_wait() {
        let mut pace = Pace::new(500);
        pace.rows = 1_250;
        assert_eq!(pace.due(), Duration::from_millis(2_500));
        pace.rows_per_second_max = 0;
        assert_eq!(pace.due(), Duration::ZERO);
    }
}
