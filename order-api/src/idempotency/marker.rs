//! Claims and markers in Redis: an early word between API processes, never a guard. Every call is
//! bounded in time, and a Redis that keeps failing is left alone for a while, so that it costs no
//! request anything.

use super::{IdempotencySettings, Mark};
use domain::{BodyDigest, OrderId};
use redis::aio::ConnectionManager;
use redis::{ErrorKind, ExistenceCheck, RedisError, RedisResult, Script, SetExpiry, SetOptions};
use service::redis::RedisSettings;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Stands where nothing, or a claim, stood; a marker stays.
const JOIN_CLAIM: &str = "local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, 2) ~= 'c:' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1";

const REMOVE_OWN_CLAIM: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Claims and markers of all API processes.
pub(crate) struct MarkerStore {
    connection: ConnectionManager,
    join_claim: Script,
    remove_own_claim: Script,
    redis: RedisSettings,
    settings: IdempotencySettings,
    breaker: Breaker,
}

/// A claim of this request in Redis: the value that stands there.
#[derive(Debug)]
pub(crate) struct Claim(pub(super) String);

/// What Redis says to a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// Nothing stood there; now this request's claim does.
    Mine(Claim),
    /// Somebody else's claim or marker stands there.
    Theirs(Mark),
    /// Something stands there that nobody can read.
    Unreadable,
    /// It does not answer: anything may stand there, this request's late claim too.
    Silence(Claim),
}

impl Claimed {
    /// `answer` is the value that stood there before, if Redis has answered.
    fn of(answer: Option<Option<String>>, claim: Claim) -> Self {
        match answer {
            None => Self::Silence(claim),
            Some(None) => Self::Mine(claim),
            Some(Some(text)) => read_mark(&text).map_or(Self::Unreadable, Self::Theirs),
        }
    }

    /// Whether Redis knew of nobody else.
    pub(crate) fn is_mine(&self) -> bool {
        matches!(self, Self::Mine(_))
    }

    /// What somebody else left there.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self {
            Self::Theirs(mark) => Some(*mark),
            Self::Mine(_) | Self::Unreadable | Self::Silence(_) => None,
        }
    }
}

impl MarkerStore {
    /// Does not wait for Redis.
    pub(crate) fn new(
        redis: &RedisSettings,
        settings: &IdempotencySettings,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            connection: redis.manager()?,
            join_claim: Script::new(JOIN_CLAIM),
            remove_own_claim: Script::new(REMOVE_OWN_CLAIM),
            redis: redis.clone(),
            settings: settings.clone(),
            breaker: Breaker::new(settings.redis_failures_max, settings.redis_pause_ms),
        })
    }

    /// Claims the order for this body, or says what stands there. `token` tells this request's
    /// claim from others.
    ///
    /// A claim lives as long as a marker: the record of one whose owner died may be on Kafka, and
    /// for that long nobody may say that nothing will come of it.
    pub(crate) async fn claim(&self, id: OrderId, digest: BodyDigest, token: u64) -> Claimed {
        let value = claim_value(digest, token);
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .get(true)
            .with_expiration(SetExpiry::EX(self.settings.marker_ttl_s));
        let mut command = redis::cmd("SET");
        command
            .arg(self.redis.marker_key(id))
            .arg(&value)
            .arg(&options);
        let mut connection = self.connection.clone();
        let asked = command.query_async::<Option<String>>(&mut connection);
        Claimed::of(self.bounded(asked).await, Claim(value))
    }

    /// Claims what somebody else has claimed, before another record of it is produced: from then on
    /// he cannot take his claim back as if nobody else were at it.
    pub(crate) async fn join(&self, id: OrderId, digest: BodyDigest, token: u64) {
        let mut connection = self.connection.clone();
        let mut script = self.join_claim.key(self.redis.marker_key(id));
        let script = script
            .arg(claim_value(digest, token))
            .arg(self.settings.marker_ttl_s);
        self.bounded(script.invoke_async::<i64>(&mut connection))
            .await;
    }

    /// Leaves the marker of an acknowledged record.
    pub(crate) async fn mark(&self, id: OrderId, digest: BodyDigest) {
        let mut command = redis::cmd("SET");
        command
            .arg(self.redis.marker_key(id))
            .arg(format!("a:{}", String::from(digest)))
            .arg("EX")
            .arg(self.settings.marker_ttl_s);
        let mut connection = self.connection.clone();
        self.bounded(command.query_async::<()>(&mut connection))
            .await;
    }

    /// Takes back a claim that came to nothing; whether it stood there alone until now.
    pub(crate) async fn unclaim(&self, id: OrderId, claim: &Claim) -> bool {
        let mut connection = self.connection.clone();
        let mut script = self.remove_own_claim.key(self.redis.marker_key(id));
        let script = script.arg(&claim.0);
        let removed = self.bounded(script.invoke_async::<i64>(&mut connection));
        removed.await == Some(1)
    }

    async fn bounded<T>(&self, asked: impl Future<Output = RedisResult<T>>) -> Option<T> {
        if !self.breaker.lets_through() {
            return None;
        }
        let timeout = Duration::from_millis(self.settings.redis_timeout_ms);
        let answer = tokio::time::timeout(timeout, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(timed_out()));
        let opened = self.breaker.record(answer.is_ok());
        match answer {
            Ok(value) => Some(value),
            Err(error) => {
                metrics::counter!("order_api_redis_failures_total").increment(1);
                if opened {
                    tracing::warn!(%error, "Redis keeps failing; it is left alone for a while.");
                }
                None
            }
        }
    }
}

fn claim_value(digest: BodyDigest, token: u64) -> String {
    format!("c:{}:{token:016x}", String::from(digest))
}

fn timed_out() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}

/// `c:<digest>:<token>` or `a:<digest>`; anything else is nobody's.
fn read_mark(text: &str) -> Option<Mark> {
    let (kind, rest) = text.split_once(':')?;
    let acknowledged = match kind {
        "a" => true,
        "c" => false,
        _ => return None,
    };
    let digest = rest.split(':').next()?.to_owned();
    Some(Mark {
        digest: BodyDigest::try_from(digest).ok()?,
        acknowledged,
    })
}

/// Lets nothing through for a while after some failures in a row.
struct Breaker {
    failures_max: u32,
    pause_ms: u64,
    started: Instant,
    failures: AtomicU32,
    closed_again_ms: AtomicU64,
}

impl Breaker {
    fn new(failures_max: u32, pause_ms: u64) -> Self {
        Self {
            failures_max,
            pause_ms,
            started: Instant::now(),
            failures: AtomicU32::new(0),
            closed_again_ms: AtomicU64::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lets_through(&self) -> bool {
        self.now_ms() >= self.closed_again_ms.load(Ordering::Relaxed)
    }

    /// Whether this was the failure that begins a pause.
    fn record(&self, good: bool) -> bool {
        if good {
            self.failures.store(0, Ordering::Relaxed);
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < self.failures_max {
            return false;
        }
        let until = self.now_ms() + self.pause_ms;
        self.closed_again_ms.store(until, Ordering::Relaxed);
        failures == self.failures_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_written_and_nothing_else_is() {
        let digest = BodyDigest::from_bytes([3; 32]);
        let hex = String::from(digest);
        let mark = |acknowledged| {
            Some(Mark {
                digest,
                acknowledged,
            })
        };
        assert_eq!(read_mark(&format!("a:{hex}")), mark(true));
        assert_eq!(read_mark(&format!("c:{hex}:00000000000000ff")), mark(false));
        for bad in ["", "a:", "x:1", "a:zz", &hex] {
            assert_eq!(read_mark(bad), None, "{bad}");
        }
    }

    #[test]
    fn silence_and_what_nobody_can_read_are_not_nothing() {
        let digest = BodyDigest::from_bytes([3; 32]);
        let of = |answer: Option<Option<&str>>| {
            let answer = answer.map(|text| text.map(str::to_owned));
            Claimed::of(answer, Claim("mine".into()))
        };
        assert!(of(Some(None)).is_mine());
        for other in [None, Some(Some("what is this"))] {
            let claimed = of(other);
            assert!(!claimed.is_mine() && claimed.mark().is_none(), "{other:?}");
        }
        let theirs = format!("c:{}:00000000000000ff", String::from(digest));
        let claimed = of(Some(Some(&theirs)));
        assert!(!claimed.is_mine());
        assert!(claimed.mark().is_some_and(|mark| !mark.acknowledged));
    }

    #[tokio::test]
    async fn a_redis_that_is_away_or_left_alone_is_silent() {
        let away = RedisSettings::of_url("redis://127.0.0.1:9/");
        let settings = IdempotencySettings {
            marker_ttl_s: 60,
            redis_timeout_ms: 500,
            redis_failures_max: 1,
            redis_pause_ms: 60_000,
            accepted_max: 1,
        };
        let markers = MarkerStore::new(&away, &settings).unwrap();
        let (id, digest) = (
            OrderId::from_bytes([9; 16]),
            BodyDigest::from_bytes([3; 32]),
        );
        for _ in 0..2 {
            let claimed = markers.claim(id, digest, 1).await;
            assert!(matches!(claimed, Claimed::Silence(_)), "{claimed:?}");
        }
        assert!(!markers.breaker.lets_through());
    }

    #[test]
    fn a_pause_begins_after_failures_in_a_row_and_ends_by_itself() {
        let breaker = Breaker::new(3, 60_000);
        assert!(!breaker.record(false) && !breaker.record(false));
        assert!(!breaker.record(true) && !breaker.record(false) && !breaker.record(false));
        assert!(breaker.lets_through());
        assert!(breaker.record(false));
        assert!(!breaker.lets_through());
        let short = Breaker::new(1, 0);
        assert!(short.record(false) && short.lets_through());
    }

    #[test]
    fn any_text_is_a_mark_or_nobodys() {
        let digest = String::from(BodyDigest::from_bytes([3; 32]));
        let good = [
            format!("a:{digest}"),
            format!("c:{digest}:0123456789abcdef"),
        ];
        let good = good.map(String::into_bytes);
        domain::mangled::each_mangled(&good, |bytes| {
            let _ = read_mark(&String::from_utf8_lossy(bytes));
        });
    }
}
