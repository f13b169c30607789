//! Which holds of an account shard still reserve money.

use super::{connection, spans};
use crate::{StoreError, Stores, columns};
use domain::{ShardName, Xid};
use sqlx::Row;
use sqlx::mysql::MySqlRow;

const LAST: &str = "SELECT CAST(COALESCE(MAX(seq), 0) AS UNSIGNED) FROM holds";

const OPEN: &str = "SELECT seq, xid FROM holds
 WHERE seq > ? AND seq <= ? AND state = 1 ORDER BY seq LIMIT ?";

/// Holds by the order in which they were made: after the first number up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldSpan {
    after: u64,
    to: u64,
}

/// The spans that make up one shard's holds.
pub async fn hold_spans(stores: &Stores, shard: ShardName) -> Result<Vec<HoldSpan>, StoreError> {
    let mut conn = connection(stores, shard).await?;
    let last: u64 = sqlx::query_scalar(LAST)
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| StoreError::of(shard, error))?;
    Ok(spans(last)
        .map(|(after, to)| HoldSpan { after, to })
        .collect())
}

/// Up to `limit` open holds of a span, and what is left of the span.
pub async fn open_holds(
    stores: &Stores,
    shard: ShardName,
    span: HoldSpan,
    limit: u32,
) -> Result<(Vec<Xid>, Option<HoldSpan>), StoreError> {
    let of = |error| StoreError::of(shard, error);
    let mut conn = connection(stores, shard).await?;
    let query = sqlx::query(OPEN).bind(span.after).bind(span.to).bind(limit);
    let rows = query.fetch_all(&mut *conn).await.map_err(of)?;
    let hold = |row: &MySqlRow| {
        let xid = Xid::from_bytes(columns::id(row, "xid")?);
        Ok((row.try_get::<u64, _>("seq")?, xid))
    };
    let found: Vec<(u64, Xid)> = rows
        .iter()
        .map(hold)
        .collect::<Result<_, _>>()
        .map_err(of)?;
    let is_full = found.len() >= limit as usize;
    let rest = found.last().filter(|_| is_full).map(|(seq, _)| HoldSpan {
        after: *seq,
        to: span.to,
    });
    Ok((found.into_iter().map(|(_, xid)| xid).collect(), rest))
}
