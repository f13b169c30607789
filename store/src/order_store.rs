//! Reads of orders for the API, the follower's snapshot and the operator.

use crate::stores::Databases;
use crate::{StoreError, columns, orders};
use chrono::{DateTime, Utc};
use domain::{
    BodyDigest, Currency, Leg, OrderId, OrderState, OrderStatus, Reason, ShardName, StoreKind,
};
use futures_util::future::join_all;
use sqlx::mysql::{MySqlPool, MySqlRow};
use sqlx::{FromRow, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// An order's whole row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Its place by arrival on its shard.
    pub seq: u64,
    /// Names it.
    pub id: OrderId,
    /// Whose accounts these are.
    pub tenant: String,
    /// Who asked.
    pub merchant: String,
    /// Tells two bodies under one key apart.
    pub body_digest: BodyDigest,
    /// Where it stands.
    pub state: OrderState,
    /// Why it is being or was cancelled.
    pub reason: Option<Reason>,
    /// Grows when something visible changes.
    pub version: u64,
    /// Of which currency.
    pub currency: Currency,
    /// Minor units asked for.
    pub amount: i64,
    /// Minor units that moved.
    pub captured: i64,
    /// Minor units that moved back.
    pub refunded: i64,
    /// The legs, numbered by their place.
    pub legs: Vec<Leg>,
    /// The merchant's own name for it.
    pub reference: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Canonical JSON text of an object.
    pub metadata: Option<String>,
    /// When the API took it, by the API's clock.
    pub accepted_at: DateTime<Utc>,
    /// First tried later than this, it ends as expired.
    pub not_after: DateTime<Utc>,
    /// Undecided past this, it is cancelled.
    pub decide_by: DateTime<Utc>,
    /// When the sweeper may take it; none once ended.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// How often a sweeper took it.
    pub attempts: u32,
    /// Why the last attempt did not end it.
    pub last_cause: Option<String>,
    /// When its row was inserted.
    pub created_at: DateTime<Utc>,
    /// When its version last grew.
    pub updated_at: DateTime<Utc>,
}

impl OrderRow {
    /// Its status, and why it was cancelled once it is.
    pub fn outcome(&self) -> (OrderStatus, Option<Reason>) {
        let status = self.state.status();
        match status {
            OrderStatus::Cancelled => (status, self.reason),
            OrderStatus::Processing | OrderStatus::Paid => (status, None),
        }
    }
}

impl FromRow<'_, MySqlRow> for OrderRow {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            id: OrderId::from_bytes(columns::id(row, "id")?),
            tenant: row.try_get("tenant")?,
            merchant: row.try_get("merchant")?,
            body_digest: BodyDigest::from_bytes(columns::fixed(row, "body_digest")?),
            state: columns::code(row, "state")?,
            reason: columns::reason(row, "reason")?,
            version: row.try_get("version")?,
            currency: columns::text(row, "currency")?,
            amount: row.try_get("amount")?,
            captured: row.try_get("captured")?,
            refunded: row.try_get("refunded")?,
            legs: columns::legs(row)?,
            reference: row.try_get("reference")?,
            description: row.try_get("description")?,
            metadata: row.try_get("metadata")?,
            accepted_at: row.try_get("accepted_at")?,
            not_after: row.try_get("not_after")?,
            decide_by: row.try_get("decide_by")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            attempts: row.try_get("attempts")?,
            last_cause: row.try_get("last_cause")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

/// What became of looking one order up.
#[derive(Debug)]
pub enum Lookup {
    /// Its row.
    Found(Box<OrderRow>),
    /// Its shard has no such row.
    Missing,
    /// Its shard could not be asked; the cause, for the log.
    Unreachable(String),
    /// Its row is there and cannot be read, such as one of a newer version; the cause, for the log.
    Unreadable(String),
}

/// The order databases, for reading.
#[derive(Debug, Clone)]
pub struct OrderStore {
    databases: Arc<Databases>,
}

impl OrderStore {
    pub(crate) fn new(databases: Arc<Databases>) -> Self {
        Self { databases }
    }

    /// Looks orders up, one statement a shard, the shards in parallel. Answers in the order asked.
    pub async fn find(&self, ids: &[OrderId]) -> Vec<Lookup> {
        let mut of_shard: HashMap<ShardName, Vec<OrderId>> = HashMap::new();
        for id in ids {
            let shard = self.databases.routing.order_shard(*id);
            of_shard.entry(shard).or_default().push(*id);
        }
        let asked = of_shard
            .into_iter()
            .map(async |(shard, ids)| (shard, self.find_on(shard, ids).await));
        let mut found = HashMap::new();
        let mut unreachable = HashMap::new();
        for (shard, answer) in join_all(asked).await {
            match answer {
                Ok(rows) => found.extend(rows),
                Err(error) => {
                    unreachable.insert(shard, error.to_string());
                }
            }
        }
        let lookup = |id: &OrderId| match unreachable.get(&self.databases.routing.order_shard(*id))
        {
            Some(cause) => Lookup::Unreachable(cause.clone()),
            None => match found.get(id) {
                Some(Ok(row)) => Lookup::Found(Box::new(row.clone())),
                Some(Err(error)) => Lookup::Unreadable(error.to_string()),
                None => Lookup::Missing,
            },
        };
        ids.iter().map(lookup).collect()
    }

    /// The order databases.
    pub fn shards(&self) -> Vec<ShardName> {
        self.databases
            .of(StoreKind::Orders)
            .map(|(name, _)| name)
            .collect()
    }

    /// Up to `limit` orders of one shard after `after_seq`, by arrival. A number may be visible
    /// before a smaller one is committed.
    pub async fn page(
        &self,
        shard: ShardName,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<OrderRow>, StoreError> {
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        orders::page(&mut conn, after_seq, limit).await.map_err(of)
    }

    /// The clock of one shard's database.
    pub async fn now(&self, shard: ShardName) -> Result<DateTime<Utc>, StoreError> {
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        orders::now(&mut conn).await.map_err(of)
    }

    pub(crate) fn pool(&self, shard: ShardName) -> &MySqlPool {
        self.databases.pool(shard)
    }

    async fn find_on(
        &self,
        shard: ShardName,
        ids: Vec<OrderId>,
    ) -> Result<Vec<(OrderId, Result<OrderRow, sqlx::Error>)>, StoreError> {
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        orders::find(&mut conn, ids).await.map_err(of)
    }
}
