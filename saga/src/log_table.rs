//! The engine's own log, for applications whose records have no row of their own: one row per
//! global transaction, with the record as JSON.

use crate::global_tx::{self, GlobalTxRow, Terms};
use crate::{
    Begun, Branch, Claimed, Decision, Ending, Pass, Postponement, Reason, ShardId, SqlFault, State,
    TransactionLog, Xid,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::mysql::MySqlConnection;
use std::marker::PhantomData;
use std::time::Duration;

/// A record that the log table can hold.
pub trait LoggedRecord:
    Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What its branches carry.
    type Payload: Clone + Send + Sync + 'static;

    /// Its name.
    fn xid(&self) -> Xid;

    /// Where its log row lives.
    fn shard(&self) -> ShardId;

    /// Appends its branches, in the order of their numbers.
    fn branches(&self, out: &mut Vec<Branch<Self::Payload>>);
}

/// How the log table dates its rows.
#[derive(Debug, Clone)]
pub struct LogTableSettings {
    /// How long a new global transaction is its coordinator's own, before the sweeper looks.
    pub lease: Duration,
    /// How long it may stay undecided.
    pub decide_within: Duration,
    /// Why it is cancelled then.
    pub overdue: Reason,
}

/// The log kept in `global_tx`.
#[derive(Debug, Clone)]
pub struct LogTable<R> {
    shards: Vec<ShardId>,
    settings: LogTableSettings,
    record: PhantomData<fn() -> R>,
}

impl<R: LoggedRecord> LogTable<R> {
    /// The log on these shards.
    pub fn new(shards: Vec<ShardId>, settings: LogTableSettings) -> Self {
        Self {
            shards,
            settings,
            record: PhantomData,
        }
    }

    async fn insert<'a>(
        &self,
        conn: &mut MySqlConnection,
        records: impl Iterator<Item = &'a R>,
    ) -> Result<(), SqlFault> {
        let row = |record: &R| Ok((record.xid(), text_of(record)?));
        let rows = records.map(row).collect::<Result<Vec<_>, SqlFault>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        let LogTableSettings {
            lease,
            decide_within,
            ..
        } = self.settings;
        global_tx::insert(
            conn,
            &rows,
            Terms {
                lease,
                decide_within,
            },
        )
        .await
    }

    fn begun(&self, row: &GlobalTxRow) -> Begun {
        let overdue = row.is_overdue.then_some(self.settings.overdue);
        Begun::Logged {
            state: row.state,
            reason: row.reason,
            overdue,
        }
    }

    fn claimed(&self, row: &GlobalTxRow) -> Result<Claimed<R>, SqlFault> {
        let record = record_of(&row.record)?;
        Ok(Claimed {
            record,
            begun: self.begun(row),
            attempts: row.attempts,
        })
    }
}

impl<R: LoggedRecord> TransactionLog for LogTable<R> {
    type Record = R;
    type Payload = R::Payload;

    fn xid(&self, record: &R) -> Xid {
        record.xid()
    }

    fn same(&self, one: &R, other: &R) -> bool {
        one == other
    }

    fn shard(&self, record: &R) -> ShardId {
        record.shard()
    }

    fn shards(&self) -> Vec<ShardId> {
        self.shards.clone()
    }

    fn branches(&self, record: &R, out: &mut Vec<Branch<R::Payload>>) {
        record.branches(out);
    }

    async fn begin(
        &self,
        conn: &mut MySqlConnection,
        records: &[R],
        pass: Pass,
    ) -> Result<Vec<Begun>, SqlFault> {
        let new = Begun::Logged {
            state: State::Trying,
            reason: None,
            overdue: None,
        };
        if pass == Pass::First {
            self.insert(conn, records.iter()).await?;
            return Ok(vec![new; records.len()]);
        }
        let rows = global_tx::read(conn, records.iter().map(R::xid)).await?;
        let row_of = |record: &R| rows.get(record.xid().0.as_slice());
        self.insert(
            conn,
            records.iter().filter(|record| row_of(record).is_none()),
        )
        .await?;
        let begun = |record: &R| match row_of(record) {
            None => Ok(new.clone()),
            Some(row) if *record == record_of::<R>(&row.record)? => Ok(self.begun(row)),
            Some(_) => Ok(Begun::Conflict(
                "another record was logged under this xid".to_owned(),
            )),
        };
        records.iter().map(begun).collect()
    }

    async fn decide(
        &self,
        conn: &mut MySqlConnection,
        decisions: &[Decision],
    ) -> Result<Vec<State>, SqlFault> {
        global_tx::decide(conn, decisions).await
    }

    async fn end(
        &self,
        conn: &mut MySqlConnection,
        endings: &[Ending],
    ) -> Result<Vec<State>, SqlFault> {
        global_tx::end(conn, endings).await
    }

    async fn claim_due(
        &self,
        conn: &mut MySqlConnection,
        _shard: ShardId,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed<R>>, SqlFault> {
        let rows = global_tx::claim(conn, limit, lease).await?;
        let claimed = rows.into_iter().map(|row| self.claimed(&row?));
        let log = |fault: &SqlFault| tracing::error!(%fault, "a row of global_tx is unreadable");
        Ok(claimed
            .filter_map(|claimed| claimed.inspect_err(log).ok())
            .collect())
    }

    async fn postpone(
        &self,
        conn: &mut MySqlConnection,
        postponements: &[Postponement],
    ) -> Result<(), SqlFault> {
        global_tx::postpone(conn, postponements).await
    }

    async fn count_attempted(
        &self,
        conn: &mut MySqlConnection,
        _shard: ShardId,
        attempts: u32,
        rows_max: u32,
    ) -> Result<u64, SqlFault> {
        global_tx::count_attempted(conn, attempts, rows_max).await
    }
}

fn text_of<R: Serialize>(record: &R) -> Result<String, SqlFault> {
    serde_json::to_string(record).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

fn record_of<R: DeserializeOwned>(text: &str) -> Result<R, SqlFault> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()).into())
}
