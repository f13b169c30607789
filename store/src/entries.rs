//! The table `entries`: one debit or credit line of an account. The unique key (xid, leg) is the
//! fence of a credit, and of a funding.

use crate::columns;
use crate::holds::BranchKey;
use crate::json_rows::JsonRows;
use chrono::{DateTime, NaiveDate, Utc};
use domain::{AccountId, Xid};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{FromRow, Row};
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

// A funding's other entry is on the same shard, of an external account, and has leg 0 there.
const PAGE: &str = "SELECT e.number, e.xid, e.delta, e.balance_after, e.booked_at,
     e.leg = 1 AND EXISTS (
         SELECT 1 FROM entries f JOIN accounts a ON a.id = f.account AND a.kind = 3
         WHERE f.xid = e.xid AND f.leg = 0) AS funding
 FROM entries e WHERE e.account = ? AND e.number > ? AND e.number <= ?
 ORDER BY e.number LIMIT ?";

const BOOKED_AT: &str = "SELECT e.number, e.booked_at
 FROM JSON_TABLE(?, '$[*]' COLUMNS (number BIGINT UNSIGNED PATH '$[0]')) d
 STRAIGHT_JOIN entries e FORCE INDEX (PRIMARY) ON e.account = ? AND e.number = d.number
 ORDER BY e.number";

const BALANCE_AFTER: &str = "SELECT balance_after FROM entries WHERE account = ? AND number = ?";

const DAYS: &str = "SELECT DATE(booked_at) AS day, COUNT(*) AS entries,
     CAST(SUM(GREATEST(delta, 0)) AS SIGNED) AS credits,
     CAST(SUM(GREATEST(-delta, 0)) AS SIGNED) AS debits
 FROM entries WHERE account = ? AND number > ? AND number <= ?
 GROUP BY day ORDER BY MIN(number)";

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

/// An entry as a statement shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementEntry {
    /// Its place among the account's, from 1, without gaps.
    pub number: u64,
    /// The order or funding that it is of.
    pub xid: Xid,
    /// Whether it is of a funding.
    pub is_funding: bool,
    /// Minor units; negative is a debit.
    pub delta: i64,
    /// The ledger balance right after, in minor units.
    pub balance_after: i64,
    /// When, by the database's clock.
    pub booked_at: DateTime<Utc>,
}

/// What a UTC day's entries come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaySums {
    pub day: NaiveDate,
    pub entries: i64,
    /// Minor units, not negative.
    pub credits: i64,
    /// Minor units, not negative.
    pub debits: i64,
}

impl FromRow<'_, MySqlRow> for StatementEntry {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let funding: i64 = row.try_get("funding")?;
        Ok(Self {
            number: row.try_get("number")?,
            xid: Xid::from_bytes(columns::id(row, "xid")?),
            is_funding: funding != 0,
            delta: row.try_get("delta")?,
            balance_after: row.try_get("balance_after")?,
            booked_at: row.try_get("booked_at")?,
        })
    }
}

impl FromRow<'_, MySqlRow> for DaySums {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            day: row.try_get("day")?,
            entries: row.try_get("entries")?,
            credits: row.try_get("credits")?,
            debits: row.try_get("debits")?,
        })
    }
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

/// An account's entries after this number and through that one, in order, at most so many.
pub(crate) async fn page(
    conn: &mut MySqlConnection,
    account: AccountId,
    (after, through): (u64, u64),
    limit: u32,
) -> Result<Vec<StatementEntry>, sqlx::Error> {
    sqlx::query_as(PAGE)
        .bind(&account.as_bytes()[..])
        .bind(after)
        .bind(through)
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// When those of an account's entries were booked that have these numbers, in order.
pub(crate) async fn booked_at(
    conn: &mut MySqlConnection,
    account: AccountId,
    numbers: &[u64],
) -> Result<Vec<(u64, DateTime<Utc>)>, sqlx::Error> {
    let numbers = JsonRows::of(numbers, |row, number| {
        row.counter(*number);
    });
    sqlx::query_as(BOOKED_AT)
        .bind(numbers)
        .bind(&account.as_bytes()[..])
        .fetch_all(conn)
        .await
}

/// An account's ledger balance right after its entry of this number; before the first it is zero.
pub(crate) async fn balance_after(
    conn: &mut MySqlConnection,
    account: AccountId,
    number: u64,
) -> Result<i64, sqlx::Error> {
    if number == 0 {
        return Ok(0);
    }
    sqlx::query_scalar(BALANCE_AFTER)
        .bind(&account.as_bytes()[..])
        .bind(number)
        .fetch_one(conn)
        .await
}

/// What the entries after this number and through that one come to, day by day.
pub(crate) async fn days(
    conn: &mut MySqlConnection,
    account: AccountId,
    (after, through): (u64, u64),
) -> Result<Vec<DaySums>, sqlx::Error> {
    sqlx::query_as(DAYS)
        .bind(&account.as_bytes()[..])
        .bind(after)
        .bind(through)
        .fetch_all(conn)
        .await
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
