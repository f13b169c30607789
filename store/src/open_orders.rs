//! The open orders of a shard by when they are due: what an operator lists and makes due.

use crate::json_rows::JsonRows;
use crate::{OrderStore, StoreError, columns};
use chrono::{DateTime, Utc};
use domain::{Leg, OrderId, OrderState, ShardName};
use sqlx::mysql::{MySql, MySqlConnection, MySqlRow};
use sqlx::{FromRow, Row, Transaction};

/// Isolation and snapshot in one: a page never shows an order that another page showed, however
/// often sweepers move when it is due meanwhile.
const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
 START TRANSACTION WITH CONSISTENT SNAPSHOT";

/// The index alone finds the page; its rows are looked up one by one.
const PAGE: &str = "SELECT seq, id, state, branches, next_attempt_at, attempts, last_cause,
     created_at, UTC_TIMESTAMP(6) AS read_at,
     (state = 1 AND decide_by < UTC_TIMESTAMP(6)) AS overdue
 FROM orders FORCE INDEX (orders_next_attempt)
 WHERE next_attempt_at >= ? AND (next_attempt_at > ? OR seq > ?)
 ORDER BY next_attempt_at, seq LIMIT ?";

/// In the order of the ids, as the decision and the end lock them.
const MAKE_DUE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)
 SET o.next_attempt_at = UTC_TIMESTAMP(6), o.attempts = 0
 WHERE o.next_attempt_at IS NOT NULL AND o.state IN (1, 2, 3)";

/// The limit is inside, so that however many orders are open the count costs the same.
const COUNT_ATTEMPTED: &str = "SELECT COUNT(*) FROM (
     SELECT attempts FROM orders FORCE INDEX (orders_next_attempt)
     WHERE next_attempt_at IS NOT NULL LIMIT ?) o WHERE o.attempts >= ?";

/// What of an order's row tells why it is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// Its place by arrival on its shard.
    pub seq: u64,
    /// Names it.
    pub id: OrderId,
    /// Trying, confirming or cancelling.
    pub state: OrderState,
    /// The legs, numbered by their place.
    pub legs: Vec<Leg>,
    /// When a sweeper may take it.
    pub next_attempt_at: DateTime<Utc>,
    /// How often a sweeper took it.
    pub attempts: u32,
    /// Why the last attempt did not end it.
    pub last_cause: Option<String>,
    /// When its row was inserted.
    pub created_at: DateTime<Utc>,
    /// The database's clock when it was read.
    pub read_at: DateTime<Utc>,
    /// Undecided past its `decide_by`.
    pub overdue: bool,
}

/// A place among a shard's open orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPlace {
    /// When the order there is due.
    pub due: DateTime<Utc>,
    /// Which of those due at that instant.
    pub seq: u64,
}

impl OpenPlace {
    /// Before all.
    pub const START: Self = Self {
        due: DateTime::UNIX_EPOCH,
        seq: 0,
    };
}

/// A shard's open orders as of one instant, page by page. The snapshot ends when this is dropped.
pub struct OpenOrders {
    shard: ShardName,
    snapshot: Transaction<'static, MySql>,
    after: OpenPlace,
    is_at_end: bool,
    unreadable: Vec<String>,
}

impl OpenOrders {
    /// The next orders, those due first at first. A row that cannot be read is left out, so a page
    /// may be empty before the end.
    pub async fn next_page(&mut self, limit: u32) -> Result<Vec<OpenOrder>, StoreError> {
        let of = |error| StoreError::of(self.shard, error);
        let rows = sqlx::query(PAGE)
            .bind(self.after.due)
            .bind(self.after.due)
            .bind(self.after.seq)
            .bind(limit)
            .fetch_all(&mut *self.snapshot)
            .await
            .map_err(of)?;
        if let Some(last) = rows.last() {
            self.after = OpenPlace::from_row(last).map_err(of)?;
        }
        self.is_at_end = rows.len() < limit as usize;
        let orders = rows.iter().map(|row| {
            let seq: u64 = row.try_get("seq")?;
            Ok((seq, OpenOrder::from_row(row)))
        });
        let orders: Vec<_> = orders.collect::<Result<_, _>>().map_err(of)?;
        Ok(readable(orders, &mut self.unreadable))
    }

    /// Whether the last page was the last.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The rows left out since this was last asked, each as `seq 7 is unreadable: ...`.
    pub fn take_unreadable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unreadable)
    }
}

/// The orders that could be read; one bad row must not hide the others.
fn readable(
    orders: Vec<(u64, Result<OpenOrder, sqlx::Error>)>,
    unreadable: &mut Vec<String>,
) -> Vec<OpenOrder> {
    let mut page = Vec::with_capacity(orders.len());
    for (seq, order) in orders {
        match order {
            Ok(order) => page.push(order),
            Err(error) => unreadable.push(format!("seq {seq} is unreadable: {error}")),
        }
    }
    page
}

impl OrderStore {
    /// The shard's open orders after this place, as of now.
    pub async fn open_orders(
        &self,
        shard: ShardName,
        after: OpenPlace,
    ) -> Result<OpenOrders, StoreError> {
        let begun = self.pool(shard).begin_with(SNAPSHOT).await;
        Ok(OpenOrders {
            shard,
            snapshot: begun.map_err(|error| StoreError::of(shard, error))?,
            after,
            is_at_end: false,
            unreadable: Vec::new(),
        })
    }

    /// Makes open orders due at once, by the database's clock, as if they had never been attempted:
    /// the backoff starts over, and whoever gets stuck again is told of again. Their causes stay.
    /// Ended ones stay as they are. Answers how many were open.
    pub async fn make_due(&self, shard: ShardName, ids: &[OrderId]) -> Result<u64, StoreError> {
        let of = |error| StoreError::of(shard, error);
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let rows = JsonRows::of(ids, |row, id| {
            row.id(id.as_bytes());
        });
        let mut conn = self.pool(shard).acquire().await.map_err(of)?;
        let done = sqlx::query(MAKE_DUE).bind(rows).execute(&mut *conn).await;
        Ok(done.map_err(of)?.rows_affected())
    }
}

/// How many of the first `rows_max` open orders have been attempted so often.
pub(crate) async fn count_attempted(
    conn: &mut MySqlConnection,
    attempts: u32,
    rows_max: u32,
) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(COUNT_ATTEMPTED)
        .bind(rows_max)
        .bind(attempts)
        .fetch_one(conn)
        .await?;
    Ok(count.unsigned_abs())
}

impl OpenOrder {
    /// Where it is among its shard's open orders.
    pub fn place(&self) -> OpenPlace {
        OpenPlace {
            due: self.next_attempt_at,
            seq: self.seq,
        }
    }
}

impl FromRow<'_, MySqlRow> for OpenPlace {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            due: row.try_get("next_attempt_at")?,
            seq: row.try_get("seq")?,
        })
    }
}

impl FromRow<'_, MySqlRow> for OpenOrder {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            id: OrderId::from_bytes(columns::id(row, "id")?),
            state: columns::code(row, "state")?,
            legs: columns::legs(row)?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            attempts: row.try_get("attempts")?,
            last_cause: row.try_get("last_cause")?,
            created_at: row.try_get("created_at")?,
            read_at: row.try_get("read_at")?,
            overdue: row.try_get::<i64, _>("overdue")? != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_read_is_named_and_hides_no_other() {
        let order = |seq| OpenOrder {
            seq,
            id: OrderId::from_bytes([7; 16]),
            state: OrderState::Confirming,
            legs: Vec::new(),
            next_attempt_at: DateTime::UNIX_EPOCH,
            attempts: 1,
            last_cause: None,
            created_at: DateTime::UNIX_EPOCH,
            read_at: DateTime::UNIX_EPOCH,
            overdue: false,
        };
        let bad = columns::decode("branches", "is no JSON".to_owned());
        let rows = vec![(1, Ok(order(1))), (2, Err(bad)), (3, Ok(order(3)))];
        let mut unreadable = Vec::new();
        let page = readable(rows, &mut unreadable);
        assert_eq!(page, [order(1), order(3)]);
        assert_eq!(unreadable.len(), 1);
        assert!(
            unreadable[0].starts_with("seq 2 is unreadable: ")
                && unreadable[0].contains("is no JSON"),
            "{unreadable:?}"
        );
    }
}
