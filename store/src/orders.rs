//! The table `orders`: one row is an order, its branches, and the log of its global transaction.

use crate::columns;
use crate::json_rows::{JsonRow, JsonRows};
use crate::{OrderRow, PaymentOrder};
use chrono::{DateTime, Utc};
use domain::{BodyDigest, OrderId, OrderState, Reason, encode_legs};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{FromRow, Row};
use std::collections::HashMap;
use std::time::Duration;

// Texts are read wider than their columns are: MariaDB's JSON_TABLE cuts what does not fit, while
// the insert into the column refuses it.
const INSERT: &str = "INSERT INTO orders
     (id, tenant, merchant, body_digest, state, currency, amount, branches, reference, description,
      metadata, accepted_at, not_after, decide_by, next_attempt_at, created_at, updated_at)
 SELECT UNHEX(d.id), d.tenant, d.merchant, UNHEX(d.body_digest), 1, d.currency, d.amount,
     d.branches, d.reference, d.description, d.metadata, d.accepted_at, d.not_after,
     UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
     UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     id CHAR(32) PATH '$[0]', tenant TEXT PATH '$[1]', merchant TEXT PATH '$[2]',
     body_digest CHAR(64) PATH '$[3]', currency VARCHAR(8) PATH '$[4]', amount BIGINT PATH '$[5]',
     branches MEDIUMTEXT PATH '$[6]', reference TEXT PATH '$[7]' ERROR ON ERROR,
     description MEDIUMTEXT PATH '$[8]' ERROR ON ERROR,
     metadata MEDIUMTEXT PATH '$[9]' ERROR ON ERROR,
     accepted_at VARCHAR(32) PATH '$[10]', not_after VARCHAR(32) PATH '$[11]')) d";

const READ_STATES: &str = "SELECT o.id, o.state, o.reason, o.tenant, o.merchant, o.body_digest,
     (o.created_at > o.not_after OR o.decide_by < UTC_TIMESTAMP(6)) AS overdue
 FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)";

const DECIDE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     id CHAR(32) PATH '$[0]', state TINYINT UNSIGNED PATH '$[1]',
     reason TINYINT UNSIGNED PATH '$[2]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)
 SET o.state = d.state, o.reason = d.reason WHERE o.state = 1";

const END: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     id CHAR(32) PATH '$[0]', decided TINYINT UNSIGNED PATH '$[1]',
     ended TINYINT UNSIGNED PATH '$[2]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)
 SET o.state = d.ended, o.captured = IF(d.ended = 10, o.amount, 0), o.version = o.version + 1,
     o.next_attempt_at = NULL, o.updated_at = UTC_TIMESTAMP(6)
 WHERE o.state = d.decided";

const CLAIM: &str =
    "SELECT seq, id, tenant, merchant, body_digest, state, reason, version, currency,
     amount, captured, refunded, branches, reference, description, metadata, accepted_at, not_after,
     decide_by, next_attempt_at, attempts, last_cause, created_at, updated_at,
     (created_at > not_after OR decide_by < UTC_TIMESTAMP(6)) AS overdue
 FROM orders FORCE INDEX (orders_next_attempt)
 WHERE next_attempt_at <= UTC_TIMESTAMP(6) ORDER BY next_attempt_at LIMIT ?
 FOR UPDATE SKIP LOCKED";

const LEASE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT UNSIGNED PATH '$[0]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (PRIMARY) ON o.seq = d.seq
 SET o.attempts = o.attempts + 1, o.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND";

const POSTPONE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     id CHAR(32) PATH '$[0]', delay_us BIGINT PATH '$[1]', cause VARCHAR(500) PATH '$[2]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)
 SET o.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL d.delay_us MICROSECOND, o.last_cause = d.cause
 WHERE o.next_attempt_at IS NOT NULL";

const FIND: &str = "SELECT o.seq, o.id, o.tenant, o.merchant, o.body_digest, o.state, o.reason,
     o.version, o.currency, o.amount, o.captured, o.refunded, o.branches, o.reference,
     o.description, o.metadata, o.accepted_at, o.not_after, o.decide_by, o.next_attempt_at,
     o.attempts, o.last_cause, o.created_at, o.updated_at
 FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)";

const PAGE: &str =
    "SELECT seq, id, tenant, merchant, body_digest, state, reason, version, currency,
     amount, captured, refunded, branches, reference, description, metadata, accepted_at, not_after,
     decide_by, next_attempt_at, attempts, last_cause, created_at, updated_at
 FROM orders WHERE seq > ? ORDER BY seq LIMIT ?";

/// Most bytes of rows bound to one statement; `max_allowed_packet` is 16 MiB or more everywhere.
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most characters kept of a cause.
const CAUSE_CHARS_MAX: usize = 500;

/// What the log asks of an order's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogState {
    pub state: OrderState,
    pub reason: Option<Reason>,
    pub tenant: String,
    pub merchant: String,
    pub body_digest: BodyDigest,
    /// First tried after its `not_after`, or past `decide_by`, by the database's clock.
    pub overdue: bool,
}

/// How long from now a new order may stay undecided, and its worker's lease lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub decide_within: Duration,
    pub lease: Duration,
}

/// Inserts new orders as trying. One that exists is a duplicate-key error.
pub(crate) async fn insert(
    conn: &mut MySqlConnection,
    orders: &[&PaymentOrder],
    deadlines: Deadlines,
) -> Result<(), sqlx::Error> {
    let mut rows = JsonRows::new();
    for order in orders {
        rows.push(|row| write_order(row, order));
        if rows.bytes() >= STATEMENT_BYTES_MAX {
            let full = std::mem::replace(&mut rows, JsonRows::new());
            insert_rows(conn, full, deadlines).await?;
        }
    }
    if !rows.is_empty() {
        insert_rows(conn, rows, deadlines).await?;
    }
    Ok(())
}

async fn insert_rows(
    conn: &mut MySqlConnection,
    rows: JsonRows,
    deadlines: Deadlines,
) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT)
        .bind(microseconds(deadlines.decide_within))
        .bind(microseconds(deadlines.lease))
        .bind(rows.finish())
        .execute(conn)
        .await?;
    Ok(())
}

fn write_order(row: &mut JsonRow<'_>, order: &PaymentOrder) {
    row.id(order.id.as_bytes())
        .text(&order.tenant)
        .text(&order.merchant)
        .text(&String::from(order.body_digest))
        .text(order.currency.as_str())
        .number(order.amount)
        .text(&encode_legs(&order.legs))
        .optional_text(order.reference.as_deref())
        .optional_text(order.description.as_deref())
        .optional_text(order.metadata.as_deref())
        .text(&datetime(order.accepted_at))
        .text(&datetime(order.not_after));
}

/// As a DATETIME(6) reads it.
fn datetime(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The database's clock.
pub(crate) async fn now(conn: &mut MySqlConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar("SELECT UTC_TIMESTAMP(6)")
        .fetch_one(conn)
        .await
}

/// Where the orders stand that exist.
pub(crate) async fn read_states(
    conn: &mut MySqlConnection,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<HashMap<OrderId, LogState>, sqlx::Error> {
    let rows = sqlx::query(READ_STATES)
        .bind(id_rows(ids))
        .fetch_all(conn)
        .await?;
    rows.iter().map(log_state).collect()
}

fn log_state(row: &MySqlRow) -> Result<(OrderId, LogState), sqlx::Error> {
    let state = LogState {
        state: columns::code(row, "state")?,
        reason: columns::reason(row, "reason")?,
        tenant: row.try_get("tenant")?,
        merchant: row.try_get("merchant")?,
        body_digest: BodyDigest::from_bytes(columns::fixed(row, "body_digest")?),
        overdue: row.try_get::<i64, _>("overdue")? != 0,
    };
    Ok((OrderId::from_bytes(columns::id(row, "id")?), state))
}

fn id_rows(ids: impl IntoIterator<Item = OrderId>) -> String {
    JsonRows::of(ids, |row, id: OrderId| {
        row.id(id.as_bytes());
    })
}

/// Moves trying orders to confirming or cancelling. Answers how many were trying.
pub(crate) async fn decide(
    conn: &mut MySqlConnection,
    decisions: impl IntoIterator<Item = (OrderId, OrderState, u8)>,
) -> Result<u64, sqlx::Error> {
    let rows = JsonRows::of(
        decisions,
        |row, (id, state, reason): (OrderId, OrderState, u8)| {
            row.id(id.as_bytes()).number(state.code()).number(reason);
        },
    );
    let done = sqlx::query(DECIDE).bind(rows).execute(conn).await?;
    Ok(done.rows_affected())
}

/// Moves decided orders from one state to their end. Answers how many were there.
pub(crate) async fn end(
    conn: &mut MySqlConnection,
    endings: impl IntoIterator<Item = (OrderId, OrderState, OrderState)>,
) -> Result<u64, sqlx::Error> {
    type Ending = (OrderId, OrderState, OrderState);
    let rows = JsonRows::of(endings, |row, (id, decided, ended): Ending| {
        row.id(id.as_bytes())
            .number(decided.code())
            .number(ended.code());
    });
    let done = sqlx::query(END).bind(rows).execute(conn).await?;
    Ok(done.rows_affected())
}

/// Leases up to `limit` open orders that are due, oldest first; `true` beside those overdue. A row
/// that cannot be read is leased like any other, so that it holds up nobody, and left out.
pub(crate) async fn claim_due(
    conn: &mut MySqlConnection,
    limit: u32,
    lease: Duration,
) -> Result<Vec<(OrderRow, bool)>, sqlx::Error> {
    let rows = sqlx::query(CLAIM).bind(limit).fetch_all(&mut *conn).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let seqs = rows.iter().map(|row| row.try_get::<u64, _>("seq"));
    let seqs = seqs.collect::<Result<Vec<_>, _>>()?;
    let leased = JsonRows::of(&seqs, |row, seq| {
        row.counter(*seq);
    });
    sqlx::query(LEASE)
        .bind(leased)
        .bind(microseconds(lease))
        .execute(conn)
        .await?;
    let readable = seqs.iter().zip(&rows).filter_map(|(seq, row)| {
        claimed(row)
            .inspect_err(|error| tracing::error!(seq, %error, "an order row is unreadable"))
            .ok()
    });
    Ok(readable.collect())
}

fn claimed(row: &MySqlRow) -> Result<(OrderRow, bool), sqlx::Error> {
    let overdue = row.try_get::<i64, _>("overdue")? != 0;
    Ok((OrderRow::from_row(row)?, overdue))
}

/// Moves when open orders are due, and keeps the cause.
pub(crate) async fn postpone(
    conn: &mut MySqlConnection,
    postponements: impl IntoIterator<Item = (OrderId, Duration, &str)>,
) -> Result<(), sqlx::Error> {
    let rows = JsonRows::of(
        postponements,
        |row, (id, delay, cause): (OrderId, Duration, &str)| {
            let cause: String = cause.chars().take(CAUSE_CHARS_MAX).collect();
            row.id(id.as_bytes())
                .number(microseconds(delay))
                .text(&cause);
        },
    );
    sqlx::query(POSTPONE).bind(rows).execute(conn).await?;
    Ok(())
}

/// The orders of these ids that exist, each read by itself.
pub(crate) async fn find(
    conn: &mut MySqlConnection,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<Vec<(OrderId, Result<OrderRow, sqlx::Error>)>, sqlx::Error> {
    let rows = sqlx::query(FIND).bind(id_rows(ids)).fetch_all(conn).await?;
    let found = rows.iter().map(|row| {
        let id = OrderId::from_bytes(columns::id(row, "id")?);
        Ok((id, OrderRow::from_row(row)))
    });
    found.collect()
}

/// The orders after `after_seq`, by arrival.
pub(crate) async fn page(
    conn: &mut MySqlConnection,
    after_seq: u64,
    limit: u32,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    sqlx::query_as(PAGE)
        .bind(after_seq)
        .bind(limit)
        .fetch_all(conn)
        .await
}
