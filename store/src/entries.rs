//! The table `entries`: one debit or credit line of an account. The unique key (xid, leg) is the
//! fence of a credit, and of a funding.

use crate::columns;
use crate::holds::BranchKey;
use crate::json_rows::JsonRows;
use chrono::{DateTime, Utc};
use domain::{AccountId, Xid};
use sqlx::Row;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use std::collections::HashMap;

const INSERT: &str =
    "INSERT INTO entries (account, number, xid, leg, delta, balance_after, booked_at)
 SELECT UNHEX(d.account), d.number, UNHEX(d.xid), d.leg, d.delta, d.balance_after, UTC_TIMESTAMP(6)
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     account CHAR(32) PATH '$[0]', number BIGINT UNSIGNED PATH '$[1]', xid CHAR(32) PATH '$[2]',
     leg TINYINT UNSIGNED PATH '$[3]', delta BIGINT PATH '$[4]',
     balance_after BIGINT PATH '$[5]')) d";

const READ: &str = "SELECT e.xid, e.leg, e.account, e.number, e.delta, e.balance_after, e.booked_at
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]')) d
 STRAIGHT_JOIN entries e FORCE INDEX (entries_branch) ON e.xid = UNHEX(d.xid) AND e.leg = d.leg";

/// An entry to insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewEntry {
    pub account: AccountId,
    /// Its place among the account's, from 1.
    pub number: u64,
    pub key: BranchKey,
    /// Minor units; negative is a debit.
    pub delta: i64,
    pub balance_after: i64,
}

/// An entry as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub account: AccountId,
    pub number: u64,
    pub delta: i64,
    pub balance_after: i64,
    pub booked_at: DateTime<Utc>,
}

/// Inserts entries. A branch that has one already is a duplicate-key error.
pub(crate) async fn insert(
    conn: &mut MySqlConnection,
    entries: &[NewEntry],
) -> Result<(), sqlx::Error> {
    let rows = JsonRows::of(entries, |row, entry| {
        row.id(entry.account.as_bytes())
            .counter(entry.number)
            .id(entry.key.0.as_bytes())
            .number(entry.key.1)
            .number(entry.delta)
            .number(entry.balance_after);
    });
    sqlx::query(INSERT).bind(rows).execute(conn).await?;
    Ok(())
}

/// The entries of these branches that exist. Whoever holds the accounts' locks reads exactly what
/// is booked: no entry is booked without its account's lock.
pub(crate) async fn read(
    conn: &mut MySqlConnection,
    keys: impl IntoIterator<Item = BranchKey>,
) -> Result<HashMap<BranchKey, Entry>, sqlx::Error> {
    let keys = JsonRows::of(keys, |row, (xid, leg): BranchKey| {
        row.id(xid.as_bytes()).number(leg);
    });
    let rows = sqlx::query(READ).bind(keys).fetch_all(conn).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &MySqlRow) -> Result<(BranchKey, Entry), sqlx::Error> {
    let entry = Entry {
        account: AccountId::from_bytes(columns::id(row, "account")?),
        number: row.try_get("number")?,
        delta: row.try_get("delta")?,
        balance_after: row.try_get("balance_after")?,
        booked_at: row.try_get("booked_at")?,
    };
    let xid = Xid::from_bytes(columns::id(row, "xid")?);
    Ok(((xid, row.try_get("leg")?), entry))
}
