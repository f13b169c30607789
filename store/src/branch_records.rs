//! What the account databases hold of one global transaction: its holds and entries, for an operator
//! who asks where an order is.

use crate::columns;
use crate::holds::HoldState;
use crate::{AccountStore, StoreError};
use chrono::{DateTime, Utc};
use domain::{AccountId, Reason, ShardName, StoreKind, Xid};
use futures_util::future::join_all;
use sqlx::mysql::{MySqlPool, MySqlRow};
use sqlx::{FromRow, Row};

const HOLDS: &str = "SELECT leg, account, amount, captured, state, reason, created_at
 FROM holds WHERE xid = ? ORDER BY leg";

const ENTRIES: &str = "SELECT leg, account, number, delta, balance_after, booked_at
 FROM entries WHERE xid = ? ORDER BY leg";

/// A hold of a global transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRecord {
    /// Of which leg.
    pub leg: u8,
    /// Whose money.
    pub account: AccountId,
    /// Minor units; 0 in a tombstone.
    pub amount: i64,
    /// Minor units that became an entry.
    pub captured: i64,
    /// `reserved`, `refused`, `confirmed`, `cancelled` or `cancelled before try`.
    pub state: &'static str,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// When it was tried.
    pub created_at: DateTime<Utc>,
}

/// An entry of a global transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRecord {
    /// Of which leg.
    pub leg: u8,
    /// Whose balance changed.
    pub account: AccountId,
    /// Its place among the account's.
    pub number: u64,
    /// Minor units; negative is a debit.
    pub delta: i64,
    /// The ledger balance right after.
    pub balance_after: i64,
    /// When it was booked.
    pub booked_at: DateTime<Utc>,
}

/// What one account database holds of a global transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BranchRecords {
    /// By leg.
    pub holds: Vec<HoldRecord>,
    /// By leg.
    pub entries: Vec<EntryRecord>,
}

impl AccountStore {
    /// The holds and entries of a global transaction, asked of every account database at once.
    pub async fn branch_records(
        &self,
        xid: Xid,
    ) -> Vec<(ShardName, Result<BranchRecords, StoreError>)> {
        let asked = self
            .databases
            .of(StoreKind::Accounts)
            .map(async |(shard, pool)| {
                let records = read(pool, xid).await;
                (shard, records.map_err(|error| StoreError::of(shard, error)))
            });
        join_all(asked).await
    }
}

async fn read(pool: &MySqlPool, xid: Xid) -> Result<BranchRecords, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let id = xid.as_bytes().as_slice();
    Ok(BranchRecords {
        holds: sqlx::query_as(HOLDS).bind(id).fetch_all(&mut *conn).await?,
        entries: sqlx::query_as(ENTRIES)
            .bind(id)
            .fetch_all(&mut *conn)
            .await?,
    })
}

impl FromRow<'_, MySqlRow> for HoldRecord {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let state: HoldState = columns::code(row, "state")?;
        Ok(Self {
            leg: row.try_get("leg")?,
            account: AccountId::from_bytes(columns::id(row, "account")?),
            amount: row.try_get("amount")?,
            captured: row.try_get("captured")?,
            state: match state {
                HoldState::Reserved => "reserved",
                HoldState::Refused => "refused",
                HoldState::Confirmed => "confirmed",
                HoldState::Cancelled => "cancelled",
                HoldState::CancelledBefore => "cancelled before try",
            },
            reason: columns::reason(row, "reason")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl FromRow<'_, MySqlRow> for EntryRecord {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            leg: row.try_get("leg")?,
            account: AccountId::from_bytes(columns::id(row, "account")?),
            number: row.try_get("number")?,
            delta: row.try_get("delta")?,
            balance_after: row.try_get("balance_after")?,
            booked_at: row.try_get("booked_at")?,
        })
    }
}
