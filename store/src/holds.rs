//! The table `holds`: funds reserved, not moved. A hold's row is also the fence of its branch.

use crate::columns;
use crate::json_rows::JsonRows;
use domain::{AccountId, CodeError, Reason, Xid};
use sqlx::Row;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use std::collections::HashMap;

const INSERT: &str = "INSERT INTO holds (xid, leg, account, amount, state, created_at)
 SELECT UNHEX(d.xid), d.leg, UNHEX(d.account), d.amount, d.state, UTC_TIMESTAMP(6)
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]', account CHAR(32) PATH '$[2]',
     amount BIGINT PATH '$[3]', state TINYINT UNSIGNED PATH '$[4]')) d";

const LOCK: &str = "SELECT h.xid, h.leg, h.account, h.amount, h.state, h.reason
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]')) d
 STRAIGHT_JOIN holds h FORCE INDEX (holds_branch) ON h.xid = UNHEX(d.xid) AND h.leg = d.leg
 FOR UPDATE /*!80000 OF h */";

const REFUSE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]',
     reason TINYINT UNSIGNED PATH '$[2]')) d
 STRAIGHT_JOIN holds h FORCE INDEX (holds_branch) ON h.xid = UNHEX(d.xid) AND h.leg = d.leg
 SET h.state = 2, h.reason = d.reason WHERE h.state = 1";

// Account and amount are compared too, so that a hold is captured only by the order that made it.
const CAPTURE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]', account CHAR(32) PATH '$[2]',
     amount BIGINT PATH '$[3]')) d
 STRAIGHT_JOIN holds h FORCE INDEX (holds_branch) ON h.xid = UNHEX(d.xid) AND h.leg = d.leg
 SET h.state = 3, h.captured = h.amount
 WHERE h.state = 1 AND h.account = UNHEX(d.account) AND h.amount = d.amount";

const CANCEL: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]')) d
 STRAIGHT_JOIN holds h FORCE INDEX (holds_branch) ON h.xid = UNHEX(d.xid) AND h.leg = d.leg
 SET h.state = 4 WHERE h.state = 1";

/// What a branch of a global transaction is called.
pub(crate) type BranchKey = (Xid, u8);

/// Where a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HoldState {
    /// The amount is part of its account's `held`.
    Reserved = 1,
    /// A rule of the business said no; nothing is reserved.
    Refused = 2,
    /// Captured: it became an entry.
    Confirmed = 3,
    /// Released.
    Cancelled = 4,
    /// The tombstone: cancelled before it was tried.
    CancelledBefore = 5,
}

/// A hold as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub account: AccountId,
    /// Minor units; 0 in a tombstone.
    pub amount: i64,
    pub state: HoldState,
    /// Why it was refused.
    pub reason: Option<Reason>,
}

/// A hold to insert, capture or cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HoldKey {
    pub key: BranchKey,
    pub account: AccountId,
    /// Minor units; 0 for a tombstone.
    pub amount: i64,
}

impl TryFrom<u8> for HoldState {
    type Error = CodeError;
    fn try_from(code: u8) -> Result<Self, CodeError> {
        match code {
            1 => Ok(Self::Reserved),
            2 => Ok(Self::Refused),
            3 => Ok(Self::Confirmed),
            4 => Ok(Self::Cancelled),
            5 => Ok(Self::CancelledBefore),
            code => Err(CodeError {
                what: "hold state",
                code,
            }),
        }
    }
}

/// Inserts new holds in one state. A branch that has one already is a duplicate-key error.
pub(crate) async fn insert(
    conn: &mut MySqlConnection,
    holds: &[HoldKey],
    state: HoldState,
) -> Result<(), sqlx::Error> {
    let rows = JsonRows::of(holds, |row, hold| {
        row.id(hold.key.0.as_bytes())
            .number(hold.key.1)
            .id(hold.account.as_bytes())
            .number(hold.amount)
            .number(state as u8);
    });
    sqlx::query(INSERT).bind(rows).execute(conn).await?;
    Ok(())
}

/// Locks the holds that exist, in the order of `keys`, which are sorted.
pub(crate) async fn lock(
    conn: &mut MySqlConnection,
    keys: impl IntoIterator<Item = BranchKey>,
) -> Result<HashMap<BranchKey, Hold>, sqlx::Error> {
    let rows = sqlx::query(LOCK)
        .bind(key_rows(keys))
        .fetch_all(conn)
        .await?;
    rows.iter().map(hold).collect()
}

fn hold(row: &MySqlRow) -> Result<(BranchKey, Hold), sqlx::Error> {
    let hold = Hold {
        account: AccountId::from_bytes(columns::id(row, "account")?),
        amount: row.try_get("amount")?,
        state: columns::code(row, "state")?,
        reason: columns::reason(row, "reason")?,
    };
    let xid = Xid::from_bytes(columns::id(row, "xid")?);
    Ok(((xid, row.try_get("leg")?), hold))
}

fn key_rows(keys: impl IntoIterator<Item = BranchKey>) -> String {
    JsonRows::of(keys, |row, (xid, leg): BranchKey| {
        row.id(xid.as_bytes()).number(leg);
    })
}

/// Marks holds of this SQL transaction as refused.
pub(crate) async fn refuse(
    conn: &mut MySqlConnection,
    refused: &[(BranchKey, Reason)],
) -> Result<(), sqlx::Error> {
    let rows = JsonRows::of(refused, |row, ((xid, leg), reason)| {
        row.id(xid.as_bytes()).number(*leg).number(reason.code());
    });
    sqlx::query(REFUSE).bind(rows).execute(conn).await?;
    Ok(())
}

/// Captures what is reserved, whole. Answers how many were.
pub(crate) async fn capture(
    conn: &mut MySqlConnection,
    holds: &[HoldKey],
) -> Result<u64, sqlx::Error> {
    let rows = JsonRows::of(holds, |row, hold| {
        row.id(hold.key.0.as_bytes())
            .number(hold.key.1)
            .id(hold.account.as_bytes())
            .number(hold.amount);
    });
    let done = sqlx::query(CAPTURE).bind(rows).execute(conn).await?;
    Ok(done.rows_affected())
}

/// Releases holds that are locked and reserved.
pub(crate) async fn cancel(
    conn: &mut MySqlConnection,
    keys: impl IntoIterator<Item = BranchKey>,
) -> Result<(), sqlx::Error> {
    sqlx::query(CANCEL)
        .bind(key_rows(keys))
        .execute(conn)
        .await?;
    Ok(())
}
