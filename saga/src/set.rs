//! Runs one operation for a set of items on one shard, in one SQL transaction, and tells for each
//! item how it went.
//!
//! What passes by itself (deadlock, lock time-out, lost connection) is tried again in place. Where
//! the statement itself is refused, the set is cut in half until the culprit stands alone. A shard
//! that does not answer is left alone for a moment.

use crate::breaker::{Admission, Breaker};
use crate::error::lost_connection;
use crate::settings::CoordinatorSettings;
use crate::{Pass, Shard, ShardId, Shards, SqlFault, meter};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An operation on a set of one shard, inside the SQL transaction it is given.
pub(crate) trait SetOperation: Sync {
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// What it works on.
    type Item: Send + Sync;
    /// What it says of each item.
    type Answer: Send;

    fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[Self::Item],
        pass: Pass,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, SqlFault>> + Send;
}

/// Why there is no answer for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetFault {
    /// A later run may get one.
    Transient(String),
    /// The item itself is refused.
    Definite(String),
}

impl fmt::Display for SetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(cause) | Self::Definite(cause) => f.write_str(cause),
        }
    }
}

/// The shards, and how they have been answering.
#[derive(Debug)]
pub(crate) struct SetRunner {
    shards: Shards,
    breakers: Vec<Arc<Breaker>>,
    settings: CoordinatorSettings,
}

impl SetRunner {
    pub(crate) fn new(shards: Shards, settings: CoordinatorSettings) -> Self {
        let breakers = shards.iter().map(|_| Arc::default()).collect();
        Self {
            shards,
            breakers,
            settings,
        }
    }

    pub(crate) fn shard_name(&self, shard: ShardId) -> &str {
        &self.shards.get(shard).name
    }

    /// Runs the operation for all items; the answers stand in their order.
    pub(crate) async fn run<O: SetOperation>(
        &self,
        shard: ShardId,
        operation: &O,
        items: &[O::Item],
    ) -> Vec<Result<O::Answer, SetFault>> {
        let mut answers = Vec::with_capacity(items.len());
        // The ranges still to run, from where to where, the next one last.
        let mut open = vec![(0, items.len())];
        while let Some((start, end)) = open.pop() {
            let fault = match self.run_range(shard, operation, &items[start..end]).await {
                Ok(found) => {
                    answers.extend(found.into_iter().map(Ok));
                    continue;
                }
                Err(fault) => fault,
            };
            match fault {
                SetFault::Definite(_) if end - start > 1 => {
                    let middle = start.midpoint(end);
                    open.extend([(middle, end), (start, middle)]);
                }
                SetFault::Definite(_) => answers.push(Err(fault)),
                // The rest would meet the same.
                SetFault::Transient(_) => answers.resize_with(items.len(), || Err(fault.clone())),
            }
            if answers.len() == items.len() {
                break;
            }
        }
        answers
    }

    async fn run_range<O: SetOperation>(
        &self,
        id: ShardId,
        operation: &O,
        items: &[O::Item],
    ) -> Result<Vec<O::Answer>, SetFault> {
        let (shard, breaker) = (self.shards.get(id), &self.breakers[usize::from(id.0)]);
        match breaker.admission(Instant::now()) {
            Admission::Go => {}
            admission @ (Admission::Refused | Admission::SendProbe) => {
                if admission == Admission::SendProbe {
                    tokio::spawn(probe(shard.clone(), breaker.clone(), self.settings.clone()));
                }
                return Err(SetFault::Transient(format!(
                    "{} does not answer",
                    shard.name
                )));
            }
        }
        let result = self.with_quick_retries(shard, operation, items).await;
        tell_breaker(shard, breaker, &self.settings, result.as_ref().err());
        result.map_err(|fault| {
            let cause = format!("{} on {}: {fault}", O::NAME, shard.name);
            match fault {
                SqlFault::Definite(_) => SetFault::Definite(cause),
                SqlFault::Duplicate(_) | SqlFault::Partial { .. } | SqlFault::Transient(_) => {
                    SetFault::Transient(cause)
                }
            }
        })
    }

    /// Whoever is asked again after a duplicate looks first; after anything else that passes by
    /// itself, as before.
    async fn with_quick_retries<O: SetOperation>(
        &self,
        shard: &Shard,
        operation: &O,
        items: &[O::Item],
    ) -> Result<Vec<O::Answer>, SqlFault> {
        let deadline = deadline_of(&self.settings);
        let mut pass = Pass::First;
        for retries in 0.. {
            let fault = match in_transaction(shard, operation, items, pass, deadline).await {
                Ok(answers) => return Ok(answers),
                Err(fault) => fault,
            };
            if !fault.is_passing()
                || retries >= self.settings.quick_retries_max
                || Instant::now() >= deadline
            {
                return Err(fault);
            }
            meter::retried(&shard.name, O::NAME, &fault);
            let known = matches!(fault, SqlFault::Duplicate(_) | SqlFault::Partial { .. });
            if known && pass == Pass::First {
                pass = Pass::Again;
                continue;
            }
            tokio::time::sleep(self.settings.quick_pause(retries, rand::random())).await;
        }
        unreachable!("the loop ends only by returning")
    }
}

/// Asks whether a shard answers again.
async fn probe(shard: Shard, breaker: Arc<Breaker>, settings: CoordinatorSettings) {
    let deadline = deadline_of(&settings);
    let answer = in_transaction(&shard, &Ping, &[()], Pass::First, deadline).await;
    tell_breaker(&shard, &breaker, &settings, answer.as_ref().err());
}

/// An empty SQL transaction.
struct Ping;

impl SetOperation for Ping {
    const NAME: &'static str = "probe";
    type Item = ();
    type Answer = ();

    async fn run(
        &self,
        _conn: &mut MySqlConnection,
        items: &[()],
        _pass: Pass,
    ) -> Result<Vec<()>, SqlFault> {
        Ok(items.to_vec())
    }
}

/// A shard that cannot serve is left alone; a deadlock or a refused statement is an answer too.
fn tell_breaker(
    shard: &Shard,
    breaker: &Breaker,
    settings: &CoordinatorSettings,
    fault: Option<&SqlFault>,
) {
    let away = fault.filter(|fault| matches!(fault, SqlFault::Transient(_)) && !fault.is_passing());
    meter::shard_answers(&shard.name, away.is_none());
    if let Some(fault) = away {
        let rest = Duration::from_millis(settings.shard_rest_ms);
        let rest = rest.mul_f64(1.0 - rand::random::<f64>() / 2.0);
        if breaker.failed(Instant::now() + rest) {
            tracing::warn!(shard = %shard.name, cause = %fault, "shard does not answer");
        }
    } else if breaker.answered() {
        tracing::info!(shard = %shard.name, "shard answers again");
    }
}

fn deadline_of(settings: &CoordinatorSettings) -> Instant {
    Instant::now() + Duration::from_millis(settings.set_timeout_ms)
}

/// How far an attempt got that failed.
enum Failure {
    /// Nothing was sent but BEGIN.
    AtBegin(sqlx::Error),
    Later(SqlFault),
}

/// One attempt. A pool may hold connections that a restarted server has forgotten: one that fails
/// at BEGIN is replaced, as long as the pool can hold another such.
async fn in_transaction<O: SetOperation>(
    shard: &Shard,
    operation: &O,
    items: &[O::Item],
    pass: Pass,
    deadline: Instant,
) -> Result<Vec<O::Answer>, SqlFault> {
    let mut forgotten = 0..shard.pool.options().get_max_connections();
    loop {
        let mut conn = within(deadline, shard.pool.acquire()).await??;
        let failure = match within(deadline, attempt(&mut conn, operation, items, pass)).await {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(failure)) => failure,
            Err(timeout) => Failure::Later(timeout.into()),
        };
        let fault = match failure {
            Failure::AtBegin(error) if lost_connection(&error) && forgotten.next().is_some() => {
                drop(conn.detach());
                continue;
            }
            Failure::AtBegin(error) => error.into(),
            Failure::Later(fault) => fault,
        };
        if !fault.leaves_connection_usable() {
            // Closing it rolls back.
            drop(conn.detach());
        }
        return Err(fault);
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
