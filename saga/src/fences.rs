//! The table `fences`: where each branch stands, in sets.

use crate::fence::Fence;
use crate::{Reason, SqlFault, Xid};
use sqlx::mysql::MySqlConnection;
use std::collections::HashMap;

/// The table to make in each database that holds branches.
pub const FENCE_TABLE_SQL: &str = "
CREATE TABLE IF NOT EXISTS fences (
    -- Clustered by arrival, because xids are random.
    seq    BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid    BINARY(16)        NOT NULL,
    branch TINYINT UNSIGNED  NOT NULL,
    -- 1 reserved, 2 refused, 3 confirmed, 4 cancelled, 5 cancelled before try (the tombstone).
    state  TINYINT UNSIGNED  NOT NULL,
    -- Why refused; 0 none.
    reason SMALLINT UNSIGNED NOT NULL DEFAULT 0,
    -- Tells two payloads of one branch apart.
    digest BINARY(32)        NOT NULL,
    UNIQUE KEY fences_branch (xid, branch)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

// The parameter of each statement is a set as JSON: [[xid, branch, digest, state, reason], ...],
// bytes in hex. The set drives the joins, so that rows are locked in its order, by their key.

const INSERT: &str = "INSERT INTO fences (xid, branch, digest, state, reason)
 SELECT UNHEX(s.xid), s.branch, UNHEX(s.digest), s.state, s.reason
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', branch TINYINT UNSIGNED PATH '$[1]', digest CHAR(64) PATH '$[2]',
     state TINYINT UNSIGNED PATH '$[3]', reason SMALLINT UNSIGNED PATH '$[4]')) s";

const LOCK: &str = "SELECT f.xid, f.branch, f.digest, f.state, f.reason
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', branch TINYINT UNSIGNED PATH '$[1]')) s
 STRAIGHT_JOIN fences f FORCE INDEX (fences_branch) ON f.xid = UNHEX(s.xid) AND f.branch = s.branch
 FOR UPDATE /*!80000 OF f */";

const MOVE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', branch TINYINT UNSIGNED PATH '$[1]', digest CHAR(64) PATH '$[2]',
     state TINYINT UNSIGNED PATH '$[3]', reason SMALLINT UNSIGNED PATH '$[4]')) s
 STRAIGHT_JOIN fences f FORCE INDEX (fences_branch) ON f.xid = UNHEX(s.xid) AND f.branch = s.branch
 SET f.state = s.state, f.reason = s.reason
 WHERE f.state = 1 AND f.digest = UNHEX(s.digest)";

/// A fence to write, or to look for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FenceRow {
    pub xid: Xid,
    pub branch: u8,
    pub digest: [u8; 32],
    pub fence: Fence,
}

/// A fence as it was found, and the digest it was set with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFence {
    pub fence: Fence,
    pub digest: Vec<u8>,
}

/// xid, branch, digest, state, reason.
type Columns = (Vec<u8>, u8, Vec<u8>, u8, u16);

/// Inserts plainly: a duplicate is an error.
pub(crate) async fn insert(conn: &mut MySqlConnection, rows: &[FenceRow]) -> Result<(), SqlFault> {
    sqlx::query(INSERT)
        .bind(json_of(rows))
        .execute(conn)
        .await?;
    Ok(())
}

/// Locks the fences of these branches; those that are there, by xid and branch.
pub(crate) async fn lock(
    conn: &mut MySqlConnection,
    rows: &[FenceRow],
) -> Result<HashMap<(Vec<u8>, u8), FoundFence>, SqlFault> {
    let found: Vec<Columns> = sqlx::query_as(LOCK)
        .bind(json_of(rows))
        .fetch_all(conn)
        .await?;
    let entry = |(xid, branch, digest, state, reason): Columns| {
        Ok((
            (xid, branch),
            FoundFence {
                fence: fence_of(state, reason)?,
                digest,
            },
        ))
    };
    found.into_iter().map(entry).collect()
}

/// Moves from reserved, where it is reserved for this digest; tells how many were.
pub(crate) async fn change(conn: &mut MySqlConnection, rows: &[FenceRow]) -> Result<u64, SqlFault> {
    Ok(sqlx::query(MOVE)
        .bind(json_of(rows))
        .execute(conn)
        .await?
        .rows_affected())
}

fn json_of(rows: &[FenceRow]) -> String {
    let row = |row: &FenceRow| {
        let (state, reason) = codes_of(row.fence);
        serde_json::json!([
            row.xid.to_string(),
            row.branch,
            hex::encode(row.digest),
            state,
            reason
        ])
    };
    serde_json::Value::Array(rows.iter().map(row).collect()).to_string()
}

fn codes_of(fence: Fence) -> (u8, u16) {
    match fence {
        Fence::Reserved => (1, 0),
        Fence::Refused(reason) => (2, reason.0),
        Fence::Confirmed => (3, 0),
        Fence::Cancelled => (4, 0),
        Fence::CancelledBeforeTry => (5, 0),
    }
}

fn fence_of(state: u8, reason: u16) -> Result<Fence, SqlFault> {
    match state {
        1 => Ok(Fence::Reserved),
        2 => Ok(Fence::Refused(Reason(reason))),
        3 => Ok(Fence::Confirmed),
        4 => Ok(Fence::Cancelled),
        5 => Ok(Fence::CancelledBeforeTry),
        other => Err(sqlx::Error::Decode(format!("fences.state {other}").into()).into()),
    }
}
