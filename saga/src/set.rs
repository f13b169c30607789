//! Runs one operation for a set of items on one shard, in one SQL transaction, and tells for each
//! item how it went.
//!
//! What passes by itself (deadlock, lock time-out, lost connection) is tried again in place. Where
//! the statement itself is refused, the set is cut in half until the culprit stands alone; where it
//! waits in vain for a lock, it is cut until those who need that lock wait alone. A shard that does
//! not answer, or whose tables as a whole are locked, is left alone for a moment.

use crate::attempt::{LockWait, Patience, in_transaction};
use crate::breaker::{Admission, Breaker};
use crate::settings::CoordinatorSettings;
use crate::{Pass, Shard, ShardId, Shards, SqlFault, meter};
use sqlx::Executor;
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

/// Why a range of a set got no answers.
enum RangeFault {
    /// The shard does not serve.
    Shard(String),
    /// Somebody holds a lock that one of the items needs.
    Blocked(String),
    /// One of the items is refused.
    Refused(String),
}

/// A set that holds a refused item is halved: a refusal is quick.
const REFUSED_PIECES: usize = 2;
/// A set of which an item waits for a lock is cut finer: each cut costs another wait.
const BLOCKED_PIECES: usize = 8;

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
        // Once a lock was waited for in vain: until when the waiting ones are told apart.
        let mut blocked: Option<Instant> = None;
        while let Some((start, end)) = open.pop() {
            let range = &items[start..end];
            let lock_wait = blocked.map_or(LockWait::Usual, |_| LockWait::Short);
            let (fault, pieces) = match self.run_range(shard, operation, range, lock_wait).await {
                Ok(found) => {
                    answers.extend(found.into_iter().map(Ok));
                    continue;
                }
                Err(RangeFault::Shard(cause)) => (SetFault::Transient(cause), 1),
                Err(RangeFault::Blocked(_)) if blocked.is_none() => {
                    // Even who is alone waits once more.
                    blocked = Some(deadline_of(&self.settings));
                    open.extend(cut(start, end, BLOCKED_PIECES).rev());
                    continue;
                }
                Err(RangeFault::Blocked(cause)) => {
                    let in_time = blocked.is_some_and(|until| Instant::now() < until);
                    let pieces = if in_time { BLOCKED_PIECES } else { 1 };
                    (SetFault::Transient(cause), pieces)
                }
                Err(RangeFault::Refused(cause)) => (SetFault::Definite(cause), REFUSED_PIECES),
            };
            let alone = end - start == 1;
            if pieces > 1 && !alone {
                open.extend(cut(start, end, pieces).rev());
            } else if alone && pieces > 1 {
                answers.push(Err(fault));
            } else {
                // The rest would meet the same.
                answers.resize_with(items.len(), || Err(fault.clone()));
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
        lock_wait: LockWait,
    ) -> Result<Vec<O::Answer>, RangeFault> {
        let (shard, breaker) = (self.shards.get(id), &self.breakers[usize::from(id.0)]);
        let left_alone =
            |cause: Arc<str>| RangeFault::Shard(format!("{} does not answer: {cause}", shard.name));
        match breaker.admission(Instant::now()) {
            Admission::Go => {}
            Admission::Refused(cause) => return Err(left_alone(cause)),
            Admission::SendProbe(cause) => {
                let (shard, settings) = (shard.clone(), self.settings.clone());
                let breaker = breaker.clone();
                tokio::spawn(async move { probe(&shard, &breaker, &settings).await });
                return Err(left_alone(cause));
            }
        }
        let patience = Patience {
            lock_wait,
            deadline: deadline_of(&self.settings),
        };
        let result = self
            .with_quick_retries(shard, operation, items, patience)
            .await;
        let fault = match result {
            Ok(answers) => {
                note_answer(shard, breaker, &self.settings, None);
                return Ok(answers);
            }
            Err(fault) => fault,
        };
        let cause = format!("{} on {}: {fault}", O::NAME, shard.name);
        if fault.is_lock_timeout() {
            // Rows of some items, or the tables of all? The probe needs no row.
            let serves =
                lock_wait == LockWait::Short || probe(shard, breaker, &self.settings).await.is_ok();
            return Err(match serves {
                true => RangeFault::Blocked(cause),
                false => RangeFault::Shard(cause),
            });
        }
        let away = Some(&fault).filter(|fault| is_away(fault));
        note_answer(shard, breaker, &self.settings, away);
        Err(match fault {
            SqlFault::Definite(_) => RangeFault::Refused(cause),
            SqlFault::Duplicate(_) | SqlFault::Partial { .. } | SqlFault::Transient(_) => {
                RangeFault::Shard(cause)
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
        patience: Patience,
    ) -> Result<Vec<O::Answer>, SqlFault> {
        let mut pass = Pass::First;
        let mut retries = 0;
        loop {
            let fault = match in_transaction(shard, operation, items, pass, patience).await {
                Ok(answers) => return Ok(answers),
                Err(fault) => fault,
            };
            let known = matches!(fault, SqlFault::Duplicate(_) | SqlFault::Partial { .. });
            if known && pass == Pass::First {
                // Not one of the retries: without looking first it would fail for ever.
                meter::retried(&shard.name, O::NAME, &fault);
                pass = Pass::Again;
                continue;
            }
            // Who waits for a lock is found out by cutting the set.
            if !fault.is_passing()
                || fault.is_lock_timeout()
                || retries >= self.settings.quick_retries_max
                || Instant::now() >= patience.deadline
            {
                return Err(fault);
            }
            meter::retried(&shard.name, O::NAME, &fault);
            tokio::time::sleep(self.settings.quick_pause(retries, rand::random())).await;
            retries += 1;
        }
    }
}

/// Asks whether a shard serves, and tells its breaker.
async fn probe(
    shard: &Shard,
    breaker: &Breaker,
    settings: &CoordinatorSettings,
) -> Result<(), SqlFault> {
    let patience = Patience {
        lock_wait: LockWait::Short,
        deadline: deadline_of(settings),
    };
    let answer = in_transaction(shard, &Probe(shard.probe), &[()], Pass::First, patience).await;
    let fault = answer.err();
    // Nobody holds rows that it needs: who lets it wait has locked the tables.
    let locked = fault.as_ref().filter(|fault| fault.is_lock_timeout());
    let away = locked.or_else(|| fault.as_ref().filter(|fault| is_away(fault)));
    note_answer(shard, breaker, settings, away);
    fault.map_or(Ok(()), Err)
}

/// Statements that need the tables and none of their rows.
struct Probe(&'static [&'static str]);

impl SetOperation for Probe {
    const NAME: &'static str = "probe";
    type Item = ();
    type Answer = ();

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[()],
        _pass: Pass,
    ) -> Result<Vec<()>, SqlFault> {
        for statement in self.0 {
            conn.execute(*statement).await?;
        }
        Ok(items.to_vec())
    }
}

/// A shard that cannot serve is away; a deadlock or a refused statement is an answer too.
fn is_away(fault: &SqlFault) -> bool {
    matches!(fault, SqlFault::Transient(_)) && !fault.is_passing()
}

fn note_answer(
    shard: &Shard,
    breaker: &Breaker,
    settings: &CoordinatorSettings,
    away: Option<&SqlFault>,
) {
    meter::shard_answers(&shard.name, away.is_none());
    if let Some(fault) = away {
        let rest = Duration::from_millis(settings.shard_rest_ms);
        let rest = rest.mul_f64(1.0 - rand::random::<f64>() / 2.0);
        if breaker.failed(Instant::now() + rest, &fault.to_string()) {
            tracing::warn!(shard = %shard.name, cause = %fault, "shard does not answer");
        }
    } else if breaker.answered() {
        tracing::info!(shard = %shard.name, "shard answers again");
    }
}

/// Equal pieces of a range, in order.
fn cut(start: usize, end: usize, pieces: usize) -> impl DoubleEndedIterator<Item = (usize, usize)> {
    let length = end - start;
    let pieces = pieces.min(length);
    let at = move |piece: usize| start + length * piece / pieces;
    (0..pieces).map(move |piece| (at(piece), at(piece + 1)))
}

fn deadline_of(settings: &CoordinatorSettings) -> Instant {
    Instant::now() + Duration::from_millis(settings.set_timeout_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_range_once_and_none_is_empty() {
        for length in 1..40 {
            for pieces in [REFUSED_PIECES, BLOCKED_PIECES] {
                let cut: Vec<_> = cut(7, 7 + length, pieces).collect();
                assert_eq!(cut.len(), pieces.min(length));
                assert_eq!((cut[0].0, cut[cut.len() - 1].1), (7, 7 + length));
                assert!(cut.iter().all(|(start, end)| start < end));
                assert!(cut.windows(2).all(|pair| pair[0].1 == pair[1].0));
            }
        }
    }
}
