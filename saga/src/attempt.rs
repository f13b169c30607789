//! One SQL transaction for a set on one shard: begun, run, and committed or rolled back.

use crate::error::lost_connection;
use crate::set::SetOperation;
use crate::{Pass, Shard, SqlFault};
use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Executor, MySql};
use std::future::Future;
use std::time::Instant;

/// How long a statement waits for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockWait {
    /// As the session was set up.
    Usual,
    /// As short as the server can: somebody is known to hold a lock, and it is only to be found out
    /// who waits for it.
    Short,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub lock_wait: LockWait,
    pub deadline: Instant,
}

const SHORTEN: &str = "SET @row_lock_wait_before = @@SESSION.innodb_lock_wait_timeout,
     @table_lock_wait_before = @@SESSION.lock_wait_timeout,
     SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1";
const RESTORE: &str = "SET SESSION innodb_lock_wait_timeout = @row_lock_wait_before,
     SESSION lock_wait_timeout = @table_lock_wait_before";

/// How far an attempt got that failed.
enum Failure {
    /// Nothing was sent but BEGIN.
    AtBegin(sqlx::Error),
    Later(SqlFault),
}

/// One attempt. A pool may hold connections that a restarted server has forgotten: one that fails
/// at BEGIN is replaced, as long as the pool can hold another such.
pub(crate) async fn in_transaction<O: SetOperation>(
    shard: &Shard,
    operation: &O,
    items: &[O::Item],
    pass: Pass,
    patience: Patience,
) -> Result<Vec<O::Answer>, SqlFault> {
    let mut forgotten = 0..shard.pool.options().get_max_connections();
    loop {
        let conn = within(patience.deadline, shard.pool.acquire()).await??;
        let mut conn = Borrowed(Some(conn));
        let run = attempt_with(conn.get()?, operation, items, pass, patience.lock_wait);
        let failure = match within(patience.deadline, run).await {
            Ok(Ok(answers)) => {
                conn.give_back();
                return Ok(answers);
            }
            Ok(Err(failure)) => failure,
            Err(timeout) => Failure::Later(timeout.into()),
        };
        let fault = match failure {
            Failure::AtBegin(error) if lost_connection(&error) && forgotten.next().is_some() => {
                continue;
            }
            Failure::AtBegin(error) => error.into(),
            Failure::Later(fault) => fault,
        };
        if fault.leaves_connection_usable() {
            conn.give_back();
        }
        return Err(fault);
    }
}

/// A connection that goes back to the pool only when it is said so. Where an attempt is dropped in
/// between, nobody knows what stands on it, and closing it rolls back.
struct Borrowed(Option<PoolConnection<MySql>>);

impl Borrowed {
    fn get(&mut self) -> Result<&mut MySqlConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

async fn attempt_with<O: SetOperation>(
    conn: &mut MySqlConnection,
    operation: &O,
    items: &[O::Item],
    pass: Pass,
    lock_wait: LockWait,
) -> Result<Vec<O::Answer>, Failure> {
    if lock_wait == LockWait::Usual {
        return attempt(conn, operation, items, pass).await;
    }
    conn.execute(SHORTEN).await.map_err(Failure::AtBegin)?;
    let answers = attempt(conn, operation, items, pass).await;
    let restored = conn.execute(RESTORE).await;
    match (answers, restored) {
        // What was committed stands; a connection that broke since is found out by the next.
        (Ok(answers), _) => Ok(answers),
        (Err(failure), Ok(_)) => Err(failure),
        (Err(_), Err(error)) => Err(Failure::Later(error.into())),
    }
}

async fn attempt<O: SetOperation>(
    conn: &mut MySqlConnection,
    operation: &O,
    items: &[O::Item],
    pass: Pass,
) -> Result<Vec<O::Answer>, Failure> {
    let mut sql = conn.begin().await.map_err(Failure::AtBegin)?;
    let fault = match operation.run(&mut sql, items, pass).await {
        Ok(answers) if answers.len() == items.len() => {
            sql.commit()
                .await
                .map_err(|error| Failure::Later(error.into()))?;
            return Ok(answers);
        }
        Ok(answers) => SqlFault::Definite(sqlx::Error::Protocol(format!(
            "{} answers for {} items",
            answers.len(),
            items.len()
        ))),
        Err(fault) => fault,
    };
    // At once: what it locked may stand in others' way. Where the connection is gone, so are they.
    let _gone = sql.rollback().await;
    Err(Failure::Later(fault))
}

async fn within<T>(
    deadline: Instant,
    future: impl Future<Output = T> + Send,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout_at(deadline.into(), future)
        .await
        .map_err(|_elapsed| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}
