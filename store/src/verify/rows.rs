//! The rows that a verification reads, in pages, without a lock.

use crate::columns;
use crate::holds::{BranchKey, HoldState};
use crate::json_rows::JsonRows;
use domain::{AccountId, Leg, OrderId, OrderState, Reason, Xid};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{FromRow, Row};

/// How many rows a page has.
pub(super) const PAGE_ROWS: u32 = 1_000;

// A deadline is judged late only minutes after it: the sweeper needs a moment, too.
const ORDERS: &str = "SELECT seq, id, state, reason, version, currency, amount, captured, refunded,
     branches, next_attempt_at IS NOT NULL AS due,
     decide_by < UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE AS late
 FROM orders WHERE seq > ? ORDER BY seq LIMIT ?";

const ORDERS_BY_ID: &str =
    "SELECT o.seq, o.id, o.state, o.reason, o.version, o.currency, o.amount, o.captured,
     o.refunded, o.branches, o.next_attempt_at IS NOT NULL AS due,
     o.decide_by < UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE AS late
 FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN orders o FORCE INDEX (orders_id) ON o.id = UNHEX(d.id)";

const CONFIRMING_ORDERS: &str =
    "SELECT seq, id, state, reason, version, currency, amount, captured, refunded, branches,
     next_attempt_at IS NOT NULL AS due,
     decide_by < UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE AS late
 FROM orders FORCE INDEX (orders_next_attempt)
 WHERE next_attempt_at IS NOT NULL AND state = 2";

const HOLDS: &str = "SELECT seq, xid, leg, account, amount, captured, state
 FROM holds WHERE seq > ? ORDER BY seq LIMIT ?";

const HOLDS_BY_BRANCH: &str = "SELECT h.seq, h.xid, h.leg, h.account, h.amount, h.captured, h.state
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]')) d
 STRAIGHT_JOIN holds h FORCE INDEX (holds_branch) ON h.xid = UNHEX(d.xid) AND h.leg = d.leg";

const ENTRIES_BY_BRANCH: &str = "SELECT e.account, e.number, e.xid, e.leg, e.delta, e.balance_after
 FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', leg TINYINT UNSIGNED PATH '$[1]')) d
 STRAIGHT_JOIN entries e FORCE INDEX (entries_branch) ON e.xid = UNHEX(d.xid) AND e.leg = d.leg";

// Two statements walk the primary key: (a, b) > (?, ?) would not be one range to the optimizer.
const ENTRIES_OF_ACCOUNT: &str = "SELECT account, number, xid, leg, delta, balance_after
 FROM entries WHERE account = ? AND number > ? ORDER BY account, number LIMIT ?";

const ENTRIES_AFTER_ACCOUNT: &str = "SELECT account, number, xid, leg, delta, balance_after
 FROM entries WHERE account > ? AND account <= ? ORDER BY account, number LIMIT ?";

const ACCOUNTS: &str = "SELECT id, ledger_balance, held, credit_limit, last_entry
 FROM accounts WHERE id > ? ORDER BY id LIMIT ?";

const FUNDINGS: &str = "SELECT e.xid, CAST(SUM(e.delta) AS SIGNED) AS total,
     CAST(SUM(a.kind = 3) AS SIGNED) AS externals
 FROM JSON_TABLE(?, '$[*]' COLUMNS (xid CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN entries e FORCE INDEX (entries_branch) ON e.xid = UNHEX(d.xid)
 JOIN accounts a ON a.id = e.account
 GROUP BY e.xid";

const TOTALS: &str = "SELECT currency, CAST(SUM(ledger_balance) AS SIGNED) AS total
 FROM accounts GROUP BY currency";

const UNIQUE_KEYS: &str =
    "SELECT DISTINCT CAST(INDEX_NAME AS CHAR) FROM information_schema.STATISTICS
 WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0";

/// What is checked of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderFacts {
    pub seq: u64,
    pub id: OrderId,
    pub state: OrderState,
    pub reason: Option<Reason>,
    pub version: u64,
    pub currency: String,
    pub amount: i64,
    pub captured: i64,
    pub refunded: i64,
    pub legs: Vec<Leg>,
    /// The sweeper will find it.
    pub due: bool,
    /// Its deadline is minutes past.
    pub late: bool,
}

/// What is checked of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HoldFacts {
    pub seq: u64,
    pub key: BranchKey,
    pub account: AccountId,
    pub amount: i64,
    pub captured: i64,
    pub state: HoldState,
}

/// What is checked of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryFacts {
    pub account: AccountId,
    pub number: u64,
    pub key: BranchKey,
    pub delta: i64,
    pub balance_after: i64,
}

/// What is checked of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountFacts {
    pub id: AccountId,
    pub ledger_balance: i64,
    pub held: i64,
    pub credit_limit: Option<i64>,
    pub last_entry: u64,
}

impl FromRow<'_, MySqlRow> for OrderFacts {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            id: OrderId::from_bytes(columns::id(row, "id")?),
            state: columns::code(row, "state")?,
            reason: columns::reason(row, "reason")?,
            version: row.try_get("version")?,
            currency: row.try_get("currency")?,
            amount: row.try_get("amount")?,
            captured: row.try_get("captured")?,
            refunded: row.try_get("refunded")?,
            legs: columns::legs(row)?,
            due: row.try_get::<i64, _>("due")? != 0,
            late: row.try_get::<i64, _>("late")? != 0,
        })
    }
}

fn branch_key(row: &MySqlRow) -> Result<BranchKey, sqlx::Error> {
    Ok((
        Xid::from_bytes(columns::id(row, "xid")?),
        row.try_get("leg")?,
    ))
}

impl FromRow<'_, MySqlRow> for HoldFacts {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            key: branch_key(row)?,
            account: AccountId::from_bytes(columns::id(row, "account")?),
            amount: row.try_get("amount")?,
            captured: row.try_get("captured")?,
            state: columns::code(row, "state")?,
        })
    }
}

impl FromRow<'_, MySqlRow> for EntryFacts {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            account: AccountId::from_bytes(columns::id(row, "account")?),
            number: row.try_get("number")?,
            key: branch_key(row)?,
            delta: row.try_get("delta")?,
            balance_after: row.try_get("balance_after")?,
        })
    }
}

impl FromRow<'_, MySqlRow> for AccountFacts {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: AccountId::from_bytes(columns::id(row, "id")?),
            ledger_balance: row.try_get("ledger_balance")?,
            held: row.try_get("held")?,
            credit_limit: row.try_get("credit_limit")?,
            last_entry: row.try_get("last_entry")?,
        })
    }
}

/// Orders by arrival, each with its number; one that cannot be read hides no other.
pub(super) async fn orders(
    conn: &mut MySqlConnection,
    after: u64,
) -> Result<Vec<(u64, Result<OrderFacts, sqlx::Error>)>, sqlx::Error> {
    let page = sqlx::query(ORDERS).bind(after).bind(PAGE_ROWS);
    let rows = page.fetch_all(conn).await?;
    let numbered = |row: &MySqlRow| Ok((row.try_get("seq")?, OrderFacts::from_row(row)));
    rows.iter().map(numbered).collect()
}

pub(super) async fn orders_by_id(
    conn: &mut MySqlConnection,
    ids: &[OrderId],
) -> Result<Vec<OrderFacts>, sqlx::Error> {
    let ids = JsonRows::of(ids, |row, id| {
        row.id(id.as_bytes());
    });
    sqlx::query_as(ORDERS_BY_ID).bind(ids).fetch_all(conn).await
}

pub(super) async fn confirming_orders(
    conn: &mut MySqlConnection,
) -> Result<Vec<OrderFacts>, sqlx::Error> {
    sqlx::query_as(CONFIRMING_ORDERS).fetch_all(conn).await
}

pub(super) async fn holds(
    conn: &mut MySqlConnection,
    after: u64,
) -> Result<Vec<HoldFacts>, sqlx::Error> {
    let page = sqlx::query_as(HOLDS).bind(after).bind(PAGE_ROWS);
    page.fetch_all(conn).await
}

fn key_rows(keys: &[BranchKey]) -> String {
    JsonRows::of(keys, |row, (xid, leg)| {
        row.id(xid.as_bytes()).number(*leg);
    })
}

pub(super) async fn holds_of(
    conn: &mut MySqlConnection,
    keys: &[BranchKey],
) -> Result<Vec<HoldFacts>, sqlx::Error> {
    let found = sqlx::query_as(HOLDS_BY_BRANCH).bind(key_rows(keys));
    found.fetch_all(conn).await
}

pub(super) async fn entries_of(
    conn: &mut MySqlConnection,
    keys: &[BranchKey],
) -> Result<Vec<EntryFacts>, sqlx::Error> {
    let found = sqlx::query_as(ENTRIES_BY_BRANCH).bind(key_rows(keys));
    found.fetch_all(conn).await
}

/// The entries after (account, number) up to the last one of `until`.
pub(super) async fn entries(
    conn: &mut MySqlConnection,
    (account, number): (AccountId, u64),
    until: AccountId,
) -> Result<Vec<EntryFacts>, sqlx::Error> {
    let mut page: Vec<EntryFacts> = sqlx::query_as(ENTRIES_OF_ACCOUNT)
        .bind(&account.as_bytes()[..])
        .bind(number)
        .bind(PAGE_ROWS)
        .fetch_all(&mut *conn)
        .await?;
    if page.is_empty() {
        page = sqlx::query_as(ENTRIES_AFTER_ACCOUNT)
            .bind(&account.as_bytes()[..])
            .bind(&until.as_bytes()[..])
            .bind(PAGE_ROWS)
            .fetch_all(conn)
            .await?;
    }
    Ok(page)
}

pub(super) async fn accounts(
    conn: &mut MySqlConnection,
    after: AccountId,
) -> Result<Vec<AccountFacts>, sqlx::Error> {
    let page = sqlx::query_as(ACCOUNTS)
        .bind(&after.as_bytes()[..])
        .bind(PAGE_ROWS);
    page.fetch_all(conn).await
}

/// Of each of these postings on one shard: its sum, and how many external accounts it touches.
pub(super) async fn fundings(
    conn: &mut MySqlConnection,
    xids: &[Xid],
) -> Result<Vec<(Xid, i64, i64)>, sqlx::Error> {
    let xids = JsonRows::of(xids, |row, xid| {
        row.id(xid.as_bytes());
    });
    let rows = sqlx::query(FUNDINGS).bind(xids).fetch_all(conn).await?;
    let funding = |row: &MySqlRow| {
        let xid = Xid::from_bytes(columns::id(row, "xid")?);
        Ok((xid, row.try_get("total")?, row.try_get("externals")?))
    };
    rows.iter().map(funding).collect()
}

/// The sum of the ledger balances of one shard, for each currency.
pub(super) async fn totals(conn: &mut MySqlConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(TOTALS).fetch_all(conn).await
}

pub(super) async fn unique_keys(conn: &mut MySqlConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(UNIQUE_KEYS).fetch_all(conn).await
}
