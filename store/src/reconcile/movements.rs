//! The entries and holds of some global transactions, as every account shard has them.

use super::orders::bytes;
use super::{IdRange, connection};
use crate::holds::HoldState;
use crate::json_rows::JsonRows;
use crate::{StoreError, Stores, columns};
use chrono::{DateTime, Utc};
use domain::{AccountId, OrderId, ShardName, StoreKind, Xid};
use futures_util::future::try_join_all;
use sqlx::Row;
use sqlx::mysql::MySqlRow;
use std::collections::{BTreeSet, HashMap};

const XIDS: &str =
    "SELECT DISTINCT xid FROM entries WHERE xid >= ? AND xid <= ? AND booked_at >= ?";

const ENTRIES: &str = "SELECT e.xid, e.leg, e.account, e.delta, e.booked_at,
     COALESCE(a.kind = 3, 0) AS is_external
 FROM JSON_TABLE(?, '$[*]' COLUMNS (xid CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN entries e FORCE INDEX (entries_branch) ON e.xid = UNHEX(d.xid)
 LEFT JOIN accounts a ON a.id = e.account ORDER BY e.xid, e.leg";

const HOLDS: &str = "SELECT h.xid, h.leg, h.account, h.amount, h.state, h.created_at
 FROM JSON_TABLE(?, '$[*]' COLUMNS (xid CHAR(32) PATH '$[0]')) d
 STRAIGHT_JOIN holds h FORCE INDEX (holds_branch) ON h.xid = UNHEX(d.xid) ORDER BY h.xid, h.leg";

/// An entry of a global transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFact {
    /// Of which leg.
    pub leg: u8,
    /// Whose balance changed.
    pub account: AccountId,
    /// Whether the account stands for the world outside.
    pub external: bool,
    /// Minor units; negative is a debit.
    pub delta: i64,
    /// When.
    pub booked_at: DateTime<Utc>,
    /// On which shard.
    pub shard: ShardName,
}

/// A hold of a global transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldFact {
    /// Of which leg.
    pub leg: u8,
    /// Whose money.
    pub account: AccountId,
    /// Minor units.
    pub amount: i64,
    /// Whether it still reserves them.
    pub open: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What the account shards hold of one global transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movements {
    /// By shard, then by leg.
    pub entries: Vec<EntryFact>,
    /// By shard, then by leg.
    pub holds: Vec<HoldFact>,
}

/// The global transactions of a range that have entries on this shard, booked since a time.
pub async fn xids_between(
    stores: &Stores,
    shard: ShardName,
    range: IdRange,
    since: DateTime<Utc>,
) -> Result<BTreeSet<OrderId>, StoreError> {
    let of = |error| StoreError::of(shard, error);
    let mut conn = connection(stores, shard).await?;
    let query = sqlx::query(XIDS)
        .bind(bytes(range.first()))
        .bind(bytes(range.last()))
        .bind(since.naive_utc());
    let rows = query.fetch_all(&mut *conn).await.map_err(of)?;
    let xid = |row: &MySqlRow| Ok(OrderId::from_bytes(columns::id(row, "xid")?));
    rows.iter().map(xid).collect::<Result<_, _>>().map_err(of)
}

/// What all account shards hold of these, one statement a table and shard. One that has nothing is
/// absent.
pub async fn movements(
    stores: &Stores,
    ids: &[OrderId],
) -> Result<HashMap<Xid, Movements>, StoreError> {
    let names = stores.routing().names();
    let shards = names.filter(|name| name.store == StoreKind::Accounts);
    let asked = shards.map(async |shard| {
        let found = movements_on(stores, shard, ids).await;
        found.map_err(|error| StoreError::of(shard, error))
    });
    let mut all: HashMap<Xid, Movements> = HashMap::new();
    for (xid, more) in try_join_all(asked).await?.into_iter().flatten() {
        let known = all.entry(xid).or_default();
        known.entries.extend(more.entries);
        known.holds.extend(more.holds);
    }
    Ok(all)
}

async fn movements_on(
    stores: &Stores,
    shard: ShardName,
    ids: &[OrderId],
) -> Result<HashMap<Xid, Movements>, sqlx::Error> {
    let mut conn = stores.pool(shard).acquire().await?;
    let xids = JsonRows::of(ids, |row, id| {
        row.id(id.as_bytes());
    });
    let mut found: HashMap<Xid, Movements> = HashMap::new();
    let query = sqlx::query(ENTRIES).bind(&xids);
    for row in &query.fetch_all(&mut *conn).await? {
        let xid = Xid::from_bytes(columns::id(row, "xid")?);
        found
            .entry(xid)
            .or_default()
            .entries
            .push(entry(row, shard)?);
    }
    let query = sqlx::query(HOLDS).bind(&xids);
    for row in &query.fetch_all(&mut *conn).await? {
        let xid = Xid::from_bytes(columns::id(row, "xid")?);
        found.entry(xid).or_default().holds.push(hold(row)?);
    }
    Ok(found)
}

fn entry(row: &MySqlRow, shard: ShardName) -> Result<EntryFact, sqlx::Error> {
    Ok(EntryFact {
        leg: row.try_get("leg")?,
        account: AccountId::from_bytes(columns::id(row, "account")?),
        external: row.try_get::<i64, _>("is_external")? != 0,
        delta: row.try_get("delta")?,
        booked_at: row.try_get("booked_at")?,
        shard,
    })
}

fn hold(row: &MySqlRow) -> Result<HoldFact, sqlx::Error> {
    Ok(HoldFact {
        leg: row.try_get("leg")?,
        account: AccountId::from_bytes(columns::id(row, "account")?),
        amount: row.try_get("amount")?,
        open: columns::code::<HoldState>(row, "state")? == HoldState::Reserved,
        created_at: row.try_get("created_at")?,
    })
}
