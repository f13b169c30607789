//! Runs one operation for a set of items on one shard, in one SQL transaction, and tells for each
//! item how it went.
//!
//! What passes by itself (deadlock, lost connection) is tried again in place. Where the statement
//! itself is refused, the set is cut in half until the culprit stands alone; where it waits in vain
//! for a lock, or its time is up, a probe tells whether the shard serves at all: if so, the set is cut
//! until those who wait stand alone. A shard that does not answer, or whose tables as a whole are
//! locked, is left alone for a moment. The other shards of its server are probed before anybody goes
//! there: a server that hangs costs one wait, and not one for each of its shards.

use crate::attempt::{LockWait, Patience, in_transaction};
use crate::breaker::{Admission, Breaker};
use crate::settings::CoordinatorSettings;
use crate::{Pass, Shard, ShardId, Shards, SqlFault, meter};
use rand::seq::SliceRandom;
use sqlx::Executor;
use sqlx::mysql::MySqlConnection;
use std::fmt;
use std::future::Future;
use std::ops::Range;
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
    /// Its shard does not serve: a later run may get one.
    Transient(String),
    /// Its shard serves, and something holds this item up: a later run may get one.
    Held(String),
    /// The item itself is refused.
    Definite(String),
}

impl fmt::Display for SetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(cause) | Self::Held(cause) | Self::Definite(cause) => {
                f.write_str(cause)
            }
        }
    }
}

/// Why a range of a set got no answers.
enum RangeFault {
    /// The shard does not serve.
    Shard(String),
    /// Somebody holds a lock that one of the items needs, or there are too many for the time.
    Blocked(String),
    /// One of the items is refused for what it is.
    Refused(String),
    /// The server refuses, and nobody can say that an item is to blame.
    Odd(String),
}

/// A set that holds a refused item is halved: a refusal is quick.
const REFUSED_PIECES: usize = 2;
/// A set of which an item waits for a lock is cut finer: each cut costs another wait.
const BLOCKED_PIECES: usize = 8;
/// How long a set that ran out of time waits to hear whether its shard serves at all, and how long a
/// shard may take to clear itself of suspicion.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

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
        let mut answers = Answers::none_of(items.len());
        let whole = 0..items.len();
        let mut open = vec![whole];
        // Once a lock was waited for in vain: until when the waiting ones are told apart.
        let mut blocked: Option<Instant> = None;
        while let Some(range) = open.pop().filter(|range| !range.is_empty()) {
            let lock_wait = blocked.map_or(LockWait::Usual, |_| LockWait::Short);
            let set = &items[range.clone()];
            let fault = match self.run_range(shard, operation, set, lock_wait).await {
                Ok(found) => {
                    answers.put(range, found);
                    continue;
                }
                Err(fault) => fault,
            };
            let alone = range.len() == 1;
            match fault {
                RangeFault::Shard(cause) => return answers.rest(&SetFault::Transient(cause)),
                RangeFault::Blocked(cause) => match blocked {
                    // Even who is alone waits once more.
                    None => {
                        blocked = Some(deadline_of(&self.settings));
                        open.extend(shuffled(cut(range, BLOCKED_PIECES)));
                    }
                    Some(until) if Instant::now() >= until => {
                        return answers.rest(&SetFault::Held(cause));
                    }
                    Some(_) if alone => answers.fail(range.start, SetFault::Held(cause)),
                    Some(_) => open.extend(shuffled(cut(range, BLOCKED_PIECES))),
                },
                RangeFault::Refused(cause) if alone => {
                    answers.fail(range.start, SetFault::Definite(cause));
                }
                RangeFault::Odd(cause) if alone => {
                    answers.fail(range.start, SetFault::Held(cause));
                }
                RangeFault::Refused(_) | RangeFault::Odd(_) => {
                    open.extend(cut(range, REFUSED_PIECES));
                }
            }
        }
        answers.rest(&SetFault::Transient("it was not run".to_owned()))
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
                self.send_probe(id, Duration::from_millis(self.settings.set_timeout_ms));
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
        if fault.is_lock_timeout() || fault.is_out_of_time() {
            // Do some items wait for rows, or is the shard away? The probe needs no row.
            let known = fault.is_lock_timeout() && lock_wait == LockWait::Short;
            let away = match known {
                true => None,
                false => probe(shard, breaker, &self.settings, PROBE_WITHIN).await,
            };
            let Some(away) = away else {
                return Err(RangeFault::Blocked(cause));
            };
            self.suspect_those_beside(id, &away);
            return Err(RangeFault::Shard(cause));
        }
        let away = Some(&fault).filter(|fault| is_away(fault));
        note_answer(shard, breaker, &self.settings, away);
        if let Some(away) = away {
            self.suspect_those_beside(id, away);
        }
        Err(match fault {
            fault if fault.blames_an_item() => RangeFault::Refused(cause),
            SqlFault::Definite(_) => RangeFault::Odd(cause),
            SqlFault::Duplicate(_) | SqlFault::Partial { .. } | SqlFault::Transient(_) => {
                RangeFault::Shard(cause)
            }
        })
    }

    /// Where a shard is silent, its server may be. One that says why it does not serve speaks for
    /// itself alone.
    fn suspect_those_beside(&self, id: ShardId, away: &SqlFault) {
        if away.is_said_by_server() {
            return;
        }
        let cause = format!("{}: {away}", self.shard_name(id));
        for (other, _) in self.shards.beside(id) {
            if self.breakers[usize::from(other.0)].suspect(Instant::now(), &cause) {
                self.send_probe(other, PROBE_WITHIN);
            }
        }
    }

    /// Finds out beside the sets whether a shard serves.
    fn send_probe(&self, id: ShardId, within: Duration) {
        let breaker = self.breakers[usize::from(id.0)].clone();
        let (shard, settings) = (self.shards.get(id).clone(), self.settings.clone());
        tokio::spawn(async move { drop(probe(&shard, &breaker, &settings, within).await) });
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

/// Why a shard does not serve, if so; tells its breaker too.
async fn probe(
    shard: &Shard,
    breaker: &Breaker,
    settings: &CoordinatorSettings,
    within: Duration,
) -> Option<SqlFault> {
    let patience = Patience {
        lock_wait: LockWait::Short,
        deadline: Instant::now() + within,
    };
    let answer = in_transaction(shard, &Probe(shard.probe), &[()], Pass::First, patience).await;
    // It needs nobody's rows: who lets it wait has locked the tables.
    let away = answer
        .err()
        .filter(|fault| is_away(fault) || fault.is_lock_timeout());
    note_answer(shard, breaker, settings, away.as_ref());
    away
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

/// The answers of a set as they come in, by place.
struct Answers<T>(Vec<Option<Result<T, SetFault>>>);

impl<T> Answers<T> {
    fn none_of(length: usize) -> Self {
        Self((0..length).map(|_| None).collect())
    }

    fn put(&mut self, range: Range<usize>, found: Vec<T>) {
        for (place, answer) in self.0[range].iter_mut().zip(found) {
            *place = Some(Ok(answer));
        }
    }

    fn fail(&mut self, place: usize, fault: SetFault) {
        self.0[place] = Some(Err(fault));
    }

    /// All of them, with this for those that have none.
    fn rest(self, fault: &SetFault) -> Vec<Result<T, SetFault>> {
        let answers = self.0.into_iter();
        answers
            .map(|answer| answer.unwrap_or_else(|| Err(fault.clone())))
            .collect()
    }
}

/// Equal pieces of a range, in order.
fn cut(range: Range<usize>, pieces: usize) -> impl Iterator<Item = Range<usize>> {
    let (start, length) = (range.start, range.len());
    let pieces = pieces.min(length);
    let at = move |piece: usize| start + length * piece / pieces;
    (0..pieces).map(move |piece| at(piece)..at(piece + 1))
}

/// In any order: time may run out before all had their turn, and it shall not be the same ones who
/// miss theirs at each attempt.
fn shuffled(pieces: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut pieces: Vec<_> = pieces.collect();
    pieces.shuffle(&mut rand::rng());
    pieces
}

fn deadline_of(settings: &CoordinatorSettings) -> Instant {
    Instant::now() + Duration::from_millis(settings.set_timeout_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

    #[tokio::test]
    async fn a_shard_rests_at_least_half_of_the_time_set_and_at_most_all_of_it() {
        let shard = Shard {
            name: "one".to_owned(),
            pool: MySqlPoolOptions::new().connect_lazy_with(MySqlConnectOptions::new()),
            probe: &[],
        };
        let settings = CoordinatorSettings::default();
        let rest = Duration::from_millis(settings.shard_rest_ms);
        let away = SqlFault::Transient(sqlx::Error::PoolTimedOut);
        for _ in 0..100 {
            let breaker = Breaker::default();
            let before = Instant::now();
            note_answer(&shard, &breaker, &settings, Some(&away));
            let after = Instant::now();
            let half_time = breaker.admission(before + rest / 2);
            assert!(matches!(half_time, Admission::Refused(_)), "{half_time:?}");
            let over = breaker.admission(after + rest);
            assert!(matches!(over, Admission::SendProbe(_)), "{over:?}");
        }
    }

    #[test]
    fn pieces_cover_the_range_once_and_none_is_empty() {
        for length in 1..40 {
            for pieces in [REFUSED_PIECES, BLOCKED_PIECES] {
                let cut: Vec<_> = cut(7..7 + length, pieces).collect();
                assert_eq!(cut.len(), pieces.min(length));
                assert_eq!((cut[0].start, cut[cut.len() - 1].end), (7, 7 + length));
                assert!(cut.iter().all(|piece| !piece.is_empty()));
                assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start));
            }
        }
    }
}
