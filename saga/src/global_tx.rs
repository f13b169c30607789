//! The table `global_tx`: one row per global transaction, in sets.

use crate::{Decision, Ending, Outcome, Postponement, Reason, SqlFault, State, Xid};
use serde::Serialize;
use sqlx::mysql::MySqlConnection;
use std::collections::HashMap;
use std::time::Duration;

/// The table to make in each log database.
pub const GLOBAL_TX_SQL: &str = "
CREATE TABLE IF NOT EXISTS global_tx (
    -- Clustered by arrival, because xids are random.
    seq             BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid             BINARY(16)        NOT NULL,
    -- 1 trying, 2 confirming, 3 cancelling, 10 confirmed, 11 cancelled.
    state           TINYINT UNSIGNED  NOT NULL,
    -- Why cancelled; NULL while there is no reason.
    reason          SMALLINT UNSIGNED NULL,
    record          MEDIUMTEXT        NOT NULL,
    -- Undecided past it, it is cancelled.
    decide_by       DATETIME(6)       NOT NULL,
    -- NULL once ended.
    next_attempt_at DATETIME(6)       NULL,
    attempts        INT UNSIGNED      NOT NULL DEFAULT 0,
    -- Why the last attempt did not end it.
    last_cause      VARCHAR(500)      NULL,
    UNIQUE KEY global_tx_xid (xid),
    KEY global_tx_next_attempt (next_attempt_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

// The parameter that each statement begins with is a set as JSON rows, bytes in hex. The set drives
// the joins, so that rows are locked in its order, by their key.

const INSERT: &str = "INSERT INTO global_tx (xid, state, record, decide_by, next_attempt_at)
 SELECT UNHEX(s.xid), 1, s.record, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
     UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', record MEDIUMTEXT PATH '$[1]')) s";

const READ: &str = "SELECT g.xid, g.state, g.reason, g.record, g.attempts,
     g.state = 1 AND g.decide_by < UTC_TIMESTAMP(6)
 FROM JSON_TABLE(?, '$[*]' COLUMNS (xid CHAR(32) PATH '$[0]')) s
 STRAIGHT_JOIN global_tx g FORCE INDEX (global_tx_xid) ON g.xid = UNHEX(s.xid)";

const DECIDE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', state TINYINT UNSIGNED PATH '$[1]',
     reason SMALLINT UNSIGNED PATH '$[2]')) s
 STRAIGHT_JOIN global_tx g FORCE INDEX (global_tx_xid) ON g.xid = UNHEX(s.xid)
 SET g.state = s.state, g.reason = s.reason WHERE g.state = 1";

const END: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', decided TINYINT UNSIGNED PATH '$[1]',
     state TINYINT UNSIGNED PATH '$[2]')) s
 STRAIGHT_JOIN global_tx g FORCE INDEX (global_tx_xid) ON g.xid = UNHEX(s.xid)
 SET g.state = s.state, g.next_attempt_at = NULL WHERE g.state = s.decided";

const CLAIM: &str = "SELECT xid, state, reason, record, attempts,
     state = 1 AND decide_by < UTC_TIMESTAMP(6)
 FROM global_tx FORCE INDEX (global_tx_next_attempt)
 WHERE next_attempt_at <= UTC_TIMESTAMP(6) ORDER BY next_attempt_at LIMIT ?
 FOR UPDATE SKIP LOCKED";

const LEASE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (xid CHAR(32) PATH '$[0]')) s
 STRAIGHT_JOIN global_tx g FORCE INDEX (global_tx_xid) ON g.xid = UNHEX(s.xid)
 SET g.attempts = g.attempts + 1, g.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND";

const POSTPONE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', delay BIGINT PATH '$[1]', cause VARCHAR(500) PATH '$[2]')) s
 STRAIGHT_JOIN global_tx g FORCE INDEX (global_tx_xid) ON g.xid = UNHEX(s.xid)
 SET g.next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL s.delay MICROSECOND, g.last_cause = s.cause
 WHERE g.next_attempt_at IS NOT NULL";

const COUNT_ATTEMPTED: &str = "SELECT COUNT(*) FROM (
     SELECT attempts FROM global_tx FORCE INDEX (global_tx_next_attempt)
     WHERE next_attempt_at IS NOT NULL LIMIT ?) o WHERE o.attempts >= ?";

const CAUSE_CHARS_MAX: usize = 500;

/// xid, state, reason, record, attempts, overdue.
type Columns = (Vec<u8>, u8, Option<u16>, String, u32, bool);

/// A row as it stands.
#[derive(Debug, Clone)]
pub(crate) struct GlobalTxRow {
    pub xid: Vec<u8>,
    pub state: State,
    pub reason: Option<Reason>,
    pub record: String,
    pub attempts: u32,
    /// Still trying, past its `decide_by`.
    pub is_overdue: bool,
}

/// How long a new row is its coordinator's own, and how long it may stay undecided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub lease: Duration,
    pub decide_within: Duration,
}

/// Inserts plainly: a duplicate is an error.
pub(crate) async fn insert(
    conn: &mut MySqlConnection,
    rows: &[(Xid, String)],
    terms: Terms,
) -> Result<(), SqlFault> {
    let set: Vec<_> = rows
        .iter()
        .map(|(xid, record)| (xid.to_string(), record))
        .collect();
    sqlx::query(INSERT)
        .bind(micros(terms.decide_within))
        .bind(micros(terms.lease))
        .bind(json(&set)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// The rows of these xids, by xid.
pub(crate) async fn read(
    conn: &mut MySqlConnection,
    xids: impl Iterator<Item = Xid>,
) -> Result<HashMap<Vec<u8>, GlobalTxRow>, SqlFault> {
    let set: Vec<[String; 1]> = xids.map(|xid| [xid.to_string()]).collect();
    let found: Vec<Columns> = sqlx::query_as(READ)
        .bind(json(&set)?)
        .fetch_all(conn)
        .await?;
    let entry = |columns| row_of(columns).map(|row| (row.xid.clone(), row));
    found.into_iter().map(entry).collect()
}

/// From trying to what was decided; the states that stand.
pub(crate) async fn decide(
    conn: &mut MySqlConnection,
    decisions: &[Decision],
) -> Result<Vec<State>, SqlFault> {
    let columns = |decision: &Decision| {
        let Decision { xid, verdict } = decision;
        (
            xid.to_string(),
            code_of(verdict.state()),
            verdict.reason().map(|reason| reason.0),
        )
    };
    let set: Vec<_> = decisions.iter().map(columns).collect();
    let changed = sqlx::query(DECIDE)
        .bind(json(&set)?)
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == decisions.len() as u64 {
        return Ok(decisions
            .iter()
            .map(|decision| decision.verdict.state())
            .collect());
    }
    states(conn, decisions.iter().map(|decision| decision.xid)).await
}

/// From decided to ended; the states that stand.
pub(crate) async fn end(
    conn: &mut MySqlConnection,
    endings: &[Ending],
) -> Result<Vec<State>, SqlFault> {
    let columns = |ending: &Ending| {
        let decided = match ending.outcome {
            Outcome::Confirmed => State::Confirming,
            Outcome::Cancelled => State::Cancelling,
        };
        (
            ending.xid.to_string(),
            code_of(decided),
            code_of(ending.outcome.state()),
        )
    };
    let set: Vec<_> = endings.iter().map(columns).collect();
    let changed = sqlx::query(END)
        .bind(json(&set)?)
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == endings.len() as u64 {
        return Ok(endings
            .iter()
            .map(|ending| ending.outcome.state())
            .collect());
    }
    states(conn, endings.iter().map(|ending| ending.xid)).await
}

async fn states(
    conn: &mut MySqlConnection,
    xids: impl Iterator<Item = Xid> + Clone,
) -> Result<Vec<State>, SqlFault> {
    let rows = read(conn, xids.clone()).await?;
    let state = |xid: Xid| match rows.get(xid.0.as_slice()) {
        Some(row) => Ok(row.state),
        None => Err(unreadable(format!("global_tx has no row {xid}"))),
    };
    xids.map(state).collect()
}

/// Leases what is due. A row that cannot be read is leased like any other, so that it holds up
/// nobody.
pub(crate) async fn claim(
    conn: &mut MySqlConnection,
    limit: u32,
    lease: Duration,
) -> Result<Vec<Result<GlobalTxRow, SqlFault>>, SqlFault> {
    let found: Vec<Columns> = sqlx::query_as(CLAIM)
        .bind(limit)
        .fetch_all(&mut *conn)
        .await?;
    if !found.is_empty() {
        let set: Vec<[String; 1]> = found.iter().map(|row| [hex::encode(&row.0)]).collect();
        sqlx::query(LEASE)
            .bind(json(&set)?)
            .bind(micros(lease))
            .execute(conn)
            .await?;
    }
    Ok(found.into_iter().map(row_of).collect())
}

/// Moves when open rows are due.
pub(crate) async fn postpone(
    conn: &mut MySqlConnection,
    postponements: &[Postponement],
) -> Result<(), SqlFault> {
    let columns = |postponement: &Postponement| {
        let cause: String = postponement.cause.chars().take(CAUSE_CHARS_MAX).collect();
        (
            postponement.xid.to_string(),
            micros(postponement.delay),
            cause,
        )
    };
    let set: Vec<_> = postponements.iter().map(columns).collect();
    sqlx::query(POSTPONE)
        .bind(json(&set)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// How many of the first `rows_max` open rows were attempted so often.
pub(crate) async fn count_attempted(
    conn: &mut MySqlConnection,
    attempts: u32,
    rows_max: u32,
) -> Result<u64, SqlFault> {
    let count = sqlx::query_scalar::<_, i64>(COUNT_ATTEMPTED).bind(rows_max);
    Ok(count.bind(attempts).fetch_one(conn).await?.unsigned_abs())
}

fn row_of(
    (xid, state, reason, record, attempts, is_overdue): Columns,
) -> Result<GlobalTxRow, SqlFault> {
    let (state, reason) = (state_of(state)?, reason.map(Reason));
    Ok(GlobalTxRow {
        xid,
        state,
        reason,
        record,
        attempts,
        is_overdue,
    })
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, SqlFault> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

fn unreadable(what: String) -> SqlFault {
    sqlx::Error::Decode(what.into()).into()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn code_of(state: State) -> u8 {
    match state {
        State::Trying => 1,
        State::Confirming => 2,
        State::Cancelling => 3,
        State::Confirmed => 10,
        State::Cancelled => 11,
    }
}

fn state_of(code: u8) -> Result<State, SqlFault> {
    match code {
        1 => Ok(State::Trying),
        2 => Ok(State::Confirming),
        3 => Ok(State::Cancelling),
        10 => Ok(State::Confirmed),
        11 => Ok(State::Cancelled),
        other => Err(unreadable(format!("global_tx.state {other}"))),
    }
}
