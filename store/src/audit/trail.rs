//! The trail on every account shard: written to, and read page by page.

use super::{Author, Deed, Entry, Via, table};
use crate::StoreError;
use crate::close_unless_finished::CloseUnlessFinished;
use crate::stores::Databases;
use domain::{ShardName, StoreKind};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use std::sync::Arc;

/// The audit trail of every account shard.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    databases: Arc<Databases>,
}

impl AuditTrail {
    pub(crate) fn new(databases: Arc<Databases>) -> Self {
        Self { databases }
    }

    /// Writes down what is about to be done. Whoever cannot write it must not do it.
    ///
    /// What comes over the API is kept by the shard of its tenant. What an operator does is kept by the
    /// first shard that takes it, because he is needed most when one does not.
    pub async fn note(&self, author: &Author, deed: &Deed<'_>) -> Result<(), StoreError> {
        match author.via {
            Via::Api => {
                let tenant = deed.tenant.unwrap_or_default();
                let shard = self.databases.routing.audit_shard(tenant);
                self.note_on(shard, author, deed).await
            }
            Via::Command => self.note_on_any(author, deed).await,
        }
    }

    async fn note_on_any(&self, author: &Author, deed: &Deed<'_>) -> Result<(), StoreError> {
        let mut first_failure = None;
        for shard in self.shards() {
            match self.note_on(shard, author, deed).await {
                Ok(()) => return Ok(()),
                // Also a chain that somebody has damaged: the others are there for that.
                Err(error) => first_failure.get_or_insert(error),
            };
        }
        // There is at least one shard: a slot map has no fewer.
        first_failure.map_or(Ok(()), Err)
    }

    async fn note_on(
        &self,
        shard: ShardName,
        author: &Author,
        deed: &Deed<'_>,
    ) -> Result<(), StoreError> {
        let note = async |conn: &mut MySqlConnection| {
            let mut tx = conn.begin().await?;
            table::append(&mut tx, shard, author, deed).await?;
            tx.commit().await
        };
        self.on(shard, note).await
    }

    /// The shards that have a chain, in order.
    pub fn shards(&self) -> Vec<ShardName> {
        let shards = self.databases.of(StoreKind::Accounts);
        shards.map(|(name, _)| name).collect()
    }

    /// Entries of a shard before this number, the newest first, at most so many.
    pub async fn page_before(
        &self,
        shard: ShardName,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let page = async |conn: &mut MySqlConnection| table::page_before(conn, seq, limit).await;
        self.on(shard, page).await
    }

    /// Whether the shard's database is seen to refuse changes of its chain.
    pub async fn is_guarded(&self, shard: ShardName) -> Result<bool, StoreError> {
        self.on(shard, table::is_guarded).await
    }

    /// Works on a connection to the shard. Where whoever asks gives up, it is closed, and so rolled back.
    pub(super) async fn on<T>(
        &self,
        shard: ShardName,
        work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        let mut guarded = CloseUnlessFinished::new(&mut conn);
        let done = work(guarded.conn()).await;
        guarded.finish();
        done.map_err(of)
    }
}
