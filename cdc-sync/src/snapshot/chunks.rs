//! The rows of a shard in the order of their `seq`, a chunk at a time, no faster than allowed.

use super::created::Created;
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

/// The rows of one shard in the order of their `seq`, a chunk at a time.
pub struct Chunks<'a> {
    conn: Conn,
    shard: &'a Shard,
    label: &'a str,
    timeout: Duration,
    layout: Layout,
    rows_max: u64,
    after: u64,
    until: u64,
    created: Option<Created>,
    pace: Pace,
}

/// Some rows of one shard.
pub struct Chunk {
    /// Their documents.
    pub batch: Batch,
    /// How many they are.
    pub rows: u64,
    /// How many were looked at to find them.
    pub seen: u64,
    /// The last one that was looked at: its `seq`.
    pub last: u64,
}

/// A stretch of the table.
struct Stretch {
    rows: u64,
    last: u64,
}

impl<'a> Chunks<'a> {
    /// The rows after this `seq`, all of them.
    pub async fn open(
        server: &'a Server,
        shard: &'a Shard,
        settings: &'a FollowerSettings,
        after: u64,
    ) -> Result<Self, FollowError> {
        let mut conn = server.connect().await?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        let pace = settings.snapshot_rows_per_second_max;
        Ok(Self {
            conn,
            shard,
            label: &server.label,
            timeout: Duration::from_millis(settings.answer_timeout_ms),
            layout: Layout::of_names(COLUMNS.iter().map(|name| name.as_bytes())),
            rows_max: rows_max(settings.snapshot_rows_max, pace),
            after,
            until: u64::MAX,
            created: None,
            pace: Pace::new(pace),
        })
    }

    /// No rows after this `seq`.
    pub fn until(mut self, last: u64) -> Self {
        self.until = last;
        self
    }

    /// Only rows that were made in this time. No index knows it, so every row is looked at all the same,
    /// in stretches of the clustered index, but only these leave the server.
    pub fn created(mut self, created: Option<Created>) -> Self {
        self.created = created;
        self
    }

    /// The next ones; none at the end. A chunk may hold no row where only some are wanted.
    pub async fn next(&mut self) -> Result<Option<Chunk>, FollowError> {
        let (rows, stretch) = match self.created {
            None => self.all_rows().await?,
            Some(created) => self.wanted_rows(created).await?,
        };
        let Some(stretch) = stretch else {
            return Ok(None);
        };
        self.after = stretch.last;
        let count = rows.len() as u64;
        counter!("follower_snapshot_rows_total", "stream" => self.label.to_owned())
            .increment(count);
        self.pace.keep(stretch.rows).await;
        Ok(Some(Chunk {
            batch: to_batch(rows, &self.layout, self.shard)?,
            rows: count,
            seen: stretch.rows,
            last: stretch.last,
        }))
    }

    async fn all_rows(&mut self) -> Result<(Vec<Row>, Option<Stretch>), FollowError> {
        let sql = format!("{} ORDER BY seq LIMIT ?", rows_statement(self.shard));
        let bounds = (self.after, self.until, self.rows_max);
        let rows: Vec<Row> = within(self.timeout, self.conn.exec(sql, bounds)).await?;
        let stretch = rows.last().map(|last| Stretch {
            rows: rows.len() as u64,
            last: last.get(COLUMNS.len()).unwrap_or(u64::MAX),
        });
        Ok((rows, stretch))
    }

    /// First where the stretch ends, so that no statement reads more than it, however few rows of it are
    /// wanted.
    async fn wanted_rows(
        &mut self,
        created: Created,
    ) -> Result<(Vec<Row>, Option<Stretch>), FollowError> {
        let bounds = (self.after, self.until, self.rows_max);
        let found = self
            .conn
            .exec_first::<(u64, Option<u64>), _, _>(stretch_statement(self.shard), bounds);
        let (seen, last) = within(self.timeout, found).await?.unwrap_or_default();
        let Some(last) = last else {
            return Ok((Vec::new(), None));
        };
        let sql = format!(
            "{} AND created_at >= ? AND created_at < ? ORDER BY seq",
            rows_statement(self.shard)
        );
        let (from, to) = created.bounds();
        let bounds = (self.after, last, from, to);
        let rows = within(self.timeout, self.conn.exec(sql, bounds)).await?;
        Ok((rows, Some(Stretch { rows: seen, last })))
    }

    /// The last `seq` of the shard as it is now; 0 without rows.
    pub async fn last(&mut self) -> Result<u64, FollowError> {
        let schema = quoted(&self.shard.schema);
        let sql = format!("SELECT COALESCE(MAX(seq), 0) FROM {schema}.orders");
        let last = within(self.timeout, self.conn.query_first::<u64, _>(sql)).await?;
        Ok(last.unwrap_or_default())
    }
}

/// Where there is a pace, a chunk is at most a second of it: so progress is told in time, and a kill costs
/// little.
fn rows_max(configured: u32, rows_per_second_max: u64) -> u64 {
    match rows_per_second_max {
        0 => configured.into(),
        most => u64::from(configured).min(most),
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

/// A range of the clustered index; `seq` comes last, after the columns that documents are made of.
fn rows_statement(shard: &Shard) -> String {
    let columns = COLUMNS.join(", ");
    let schema = quoted(&shard.schema);
    format!("SELECT {columns}, seq FROM {schema}.orders WHERE seq > ? AND seq <= ?")
}

fn stretch_statement(shard: &Shard) -> String {
    let schema = quoted(&shard.schema);
    format!(
        "SELECT COUNT(*), MAX(seq) FROM (SELECT seq FROM {schema}.orders \
         WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?) AS stretch"
    )
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

    #[test]
    fn a_chunk_is_no_more_than_a_second_of_the_pace() {
        assert_eq!(rows_max(2_000, 0), 2_000);
        assert_eq!(rows_max(2_000, 300), 300);
        assert_eq!(rows_max(2_000, 9_000), 2_000);
    }
}
