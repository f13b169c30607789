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
    let mut conn = server.connect().await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    let mut total = 0;
    for shard in &server.shards {
        total += copy_shard(&mut conn, server, shard, settings, &batches).await?;
    }
    Ok(total)
}

async fn copy_shard(
    conn: &mut Conn,
    server: &Server,
    shard: &Shard,
    settings: &FollowerSettings,
    batches: &mpsc::Sender<Batch>,
) -> Result<u64, FollowError> {
    let sql = chunk_statement(shard);
    let timeout = Duration::from_millis(settings.answer_timeout_ms);
    let layout = Layout::of_names(COLUMNS.iter().map(|name| name.as_bytes()));
    let (mut after, mut rows, mut told) = (0_u64, 0_u64, Instant::now());
    loop {
        let asked = conn.exec(&sql, (after, settings.snapshot_rows_max));
        let chunk: Vec<Row> = within(timeout, asked).await?;
        let Some(last) = chunk.last() else {
            return Ok(rows);
        };
        after = last.get(COLUMNS.len()).unwrap_or(u64::MAX);
        rows += chunk.len() as u64;
        counter!("follower_snapshot_rows_total", "stream" => server.label.clone())
            .increment(chunk.len() as u64);
        if batches
            .send(to_batch(chunk, &layout, shard)?)
            .await
            .is_err()
        {
            // The writer is gone only when it has failed, which is told there.
            return Ok(rows);
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tracing::info!(shard = %shard.name, rows, "The snapshot goes on.");
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
