//! The table `accounts`: who holds a balance, and how much of it is reserved.

use crate::columns;
use crate::json_rows::JsonRows;
use chrono::{DateTime, Utc};
use domain::{AccountId, AccountKind, AccountStatus, BodyDigest, Currency};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{FromRow, Row};
use std::collections::HashMap;

const INSERT: &str = "INSERT INTO accounts
     (id, tenant, merchant, kind, currency, name, status, credit_limit, body_digest, created_at)
 VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, UTC_TIMESTAMP(6))";

const FIND: &str =
    "SELECT id, tenant, merchant, kind, currency, name, status, ledger_balance, held,
     credit_limit, last_entry, body_digest, created_at, closed_at
 FROM accounts WHERE id = ?";

// The share lock waits for whoever is booking: what was booked before this SELECT began is committed
// once it answers.
const READ_BOOKED: &str = "SELECT last_entry, ledger_balance, UTC_TIMESTAMP(6) AS as_of
 FROM accounts WHERE id = ? LOCK IN SHARE MODE";

const CLOSE: &str =
    "UPDATE accounts SET status = 2, closed_at = UTC_TIMESTAMP(6) WHERE id = ? AND status = 1";

// STRAIGHT_JOIN from the set, so that rows are found by key and locked in the set's order,
// whatever the optimizer thinks of a small table.
const READ: &str = "SELECT a.id, a.tenant, a.merchant, a.kind, a.currency, a.status,
     a.ledger_balance, a.held, a.credit_limit, a.last_entry
 FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN accounts a FORCE INDEX (PRIMARY) ON a.id = UNHEX(d.id)";

const LOCK: &str = "SELECT a.id, a.tenant, a.merchant, a.kind, a.currency, a.status,
     a.ledger_balance, a.held, a.credit_limit, a.last_entry
 FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN accounts a FORCE INDEX (PRIMARY) ON a.id = UNHEX(d.id)
 FOR UPDATE /*!80000 OF a */";

const LOCK_BALANCES: &str = "SELECT a.id, a.ledger_balance, a.last_entry
 FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN accounts a FORCE INDEX (PRIMARY) ON a.id = UNHEX(d.id)
 FOR UPDATE /*!80000 OF a */";

const ADD_HELD: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     id CHAR(32) PATH '$[0]', held BIGINT PATH '$[1]')) d
 STRAIGHT_JOIN accounts a FORCE INDEX (PRIMARY) ON a.id = UNHEX(d.id)
 SET a.held = a.held + d.held";

const POST: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
     id CHAR(32) PATH '$[0]', balance BIGINT PATH '$[1]', last_entry BIGINT UNSIGNED PATH '$[2]',
     released BIGINT PATH '$[3]')) d
 STRAIGHT_JOIN accounts a FORCE INDEX (PRIMARY) ON a.id = UNHEX(d.id)
 SET a.ledger_balance = d.balance, a.last_entry = d.last_entry, a.held = a.held - d.released";

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Names it.
    pub id: AccountId,
    /// Whose it is.
    pub tenant: String,
    /// Which of the tenant's merchants it belongs to, if any.
    pub merchant: Option<String>,
    /// Customer, merchant or external.
    pub kind: AccountKind,
    /// Of which currency its balance is.
    pub currency: Currency,
    /// For people.
    pub name: String,
    /// Open or closed.
    pub status: AccountStatus,
    /// Minor units: the sum of its entries.
    pub ledger_balance: i64,
    /// Minor units reserved by open holds.
    pub held: i64,
    /// How far below zero the available balance may go, in minor units; none is without limit.
    pub credit_limit: Option<i64>,
    /// The number of its newest entry.
    pub last_entry: u64,
    /// Tells two bodies under one Idempotency-Key apart; none when opened without one.
    pub body_digest: Option<BodyDigest>,
    /// By the database's clock.
    pub created_at: DateTime<Utc>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
}

/// What the rules of a try ask of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountState {
    pub tenant: String,
    pub merchant: Option<String>,
    pub kind: AccountKind,
    pub currency: Currency,
    pub status: AccountStatus,
    pub ledger_balance: i64,
    pub held: i64,
    pub credit_limit: Option<i64>,
}

/// What booking an entry asks of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    pub ledger_balance: i64,
    pub last_entry: u64,
}

/// The net effect of a batch's entries on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NetPosting {
    pub account: AccountId,
    pub balance: Balance,
    /// Minor units that captured holds no longer reserve.
    pub released: i64,
}

/// A row to insert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountInsert<'a> {
    pub id: AccountId,
    pub tenant: &'a str,
    pub merchant: Option<&'a str>,
    pub kind: AccountKind,
    pub currency: Currency,
    pub name: &'a str,
    pub credit_limit: Option<i64>,
    pub body_digest: Option<BodyDigest>,
}

impl Account {
    /// Minor units that new orders may still reserve; for an account without limit, of its own.
    pub fn available_balance(&self) -> i64 {
        self.ledger_balance.saturating_sub(self.held)
    }
}

impl FromRow<'_, MySqlRow> for Account {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let digest: Option<&[u8]> = row.try_get("body_digest")?;
        let body_digest = match digest {
            Some(_) => Some(BodyDigest::from_bytes(columns::fixed(row, "body_digest")?)),
            None => None,
        };
        Ok(Self {
            id: AccountId::from_bytes(columns::id(row, "id")?),
            tenant: row.try_get("tenant")?,
            merchant: row.try_get("merchant")?,
            kind: columns::code(row, "kind")?,
            currency: columns::text(row, "currency")?,
            name: row.try_get("name")?,
            status: columns::code(row, "status")?,
            ledger_balance: row.try_get("ledger_balance")?,
            held: row.try_get("held")?,
            credit_limit: row.try_get("credit_limit")?,
            last_entry: row.try_get("last_entry")?,
            body_digest,
            created_at: row.try_get("created_at")?,
            closed_at: row.try_get("closed_at")?,
        })
    }
}

impl FromRow<'_, MySqlRow> for AccountState {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            tenant: row.try_get("tenant")?,
            merchant: row.try_get("merchant")?,
            kind: columns::code(row, "kind")?,
            currency: columns::text(row, "currency")?,
            status: columns::code(row, "status")?,
            ledger_balance: row.try_get("ledger_balance")?,
            held: row.try_get("held")?,
            credit_limit: row.try_get("credit_limit")?,
        })
    }
}

/// Inserts an open account with a balance of zero.
pub(crate) async fn insert(
    conn: &mut MySqlConnection,
    account: AccountInsert<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT)
        .bind(&account.id.as_bytes()[..])
        .bind(account.tenant)
        .bind(account.merchant)
        .bind(account.kind.code())
        .bind(account.currency.as_str())
        .bind(account.name)
        .bind(account.credit_limit)
        .bind(account.body_digest.as_ref().map(|d| &d.as_bytes()[..]))
        .execute(conn)
        .await?;
    Ok(())
}

/// The account, whoever owns it.
pub(crate) async fn find(
    conn: &mut MySqlConnection,
    id: AccountId,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as(FIND)
        .bind(&id.as_bytes()[..])
        .fetch_optional(conn)
        .await
}

/// An account's newest entry and balance, with every entry that was booked before the instant.
pub(crate) async fn read_booked(
    conn: &mut MySqlConnection,
    id: AccountId,
) -> Result<(Balance, DateTime<Utc>), sqlx::Error> {
    let row = sqlx::query(READ_BOOKED)
        .bind(&id.as_bytes()[..])
        .fetch_one(conn)
        .await?;
    let balance = Balance {
        ledger_balance: row.try_get("ledger_balance")?,
        last_entry: row.try_get("last_entry")?,
    };
    Ok((balance, row.try_get("as_of")?))
}

/// Closes the account; whether it was open.
pub(crate) async fn close(conn: &mut MySqlConnection, id: AccountId) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query(CLOSE)
        .bind(&id.as_bytes()[..])
        .execute(conn)
        .await?;
    Ok(closed.rows_affected() > 0)
}

/// Reads accounts as they are committed now.
pub(crate) async fn read(
    conn: &mut MySqlConnection,
    ids: &[AccountId],
) -> Result<HashMap<AccountId, AccountState>, sqlx::Error> {
    states(conn, READ, ids).await
}

/// Locks accounts in the order of `ids`, which are sorted, and reads them.
pub(crate) async fn lock(
    conn: &mut MySqlConnection,
    ids: &[AccountId],
) -> Result<HashMap<AccountId, AccountState>, sqlx::Error> {
    states(conn, LOCK, ids).await
}

async fn states(
    conn: &mut MySqlConnection,
    statement: &'static str,
    ids: &[AccountId],
) -> Result<HashMap<AccountId, AccountState>, sqlx::Error> {
    let rows = sqlx::query(statement)
        .bind(id_rows(ids))
        .fetch_all(conn)
        .await?;
    let state = |row| {
        Ok((
            AccountId::from_bytes(columns::id(row, "id")?),
            AccountState::from_row(row)?,
        ))
    };
    rows.iter().map(state).collect()
}

/// Locks accounts in the order of `ids`, which are sorted, and reads their balances.
pub(crate) async fn lock_balances(
    conn: &mut MySqlConnection,
    ids: &[AccountId],
) -> Result<HashMap<AccountId, Balance>, sqlx::Error> {
    let rows = sqlx::query(LOCK_BALANCES)
        .bind(id_rows(ids))
        .fetch_all(conn)
        .await?;
    let balance = |row: &MySqlRow| {
        let balance = Balance {
            ledger_balance: row.try_get("ledger_balance")?,
            last_entry: row.try_get("last_entry")?,
        };
        Ok((AccountId::from_bytes(columns::id(row, "id")?), balance))
    };
    rows.iter().map(balance).collect()
}

fn id_rows(ids: &[AccountId]) -> String {
    JsonRows::of(ids, |row, id| {
        row.id(id.as_bytes());
    })
}

/// Reserves more, or less, of each account; sorted by account.
pub(crate) async fn add_held(
    conn: &mut MySqlConnection,
    deltas: impl IntoIterator<Item = (AccountId, i64)>,
) -> Result<(), sqlx::Error> {
    let rows = JsonRows::of(deltas, |row, (id, held): (AccountId, i64)| {
        row.id(id.as_bytes()).number(held);
    });
    sqlx::query(ADD_HELD).bind(rows).execute(conn).await?;
    Ok(())
}

/// Writes the balances after a batch's entries; the rows are locked since they were read.
pub(crate) async fn post(
    conn: &mut MySqlConnection,
    nets: &[NetPosting],
) -> Result<(), sqlx::Error> {
    let rows = JsonRows::of(nets, |row, net| {
        row.id(net.account.as_bytes())
            .number(net.balance.ledger_balance)
            .counter(net.balance.last_entry)
            .number(net.released);
    });
    sqlx::query(POST).bind(rows).execute(conn).await?;
    Ok(())
}
