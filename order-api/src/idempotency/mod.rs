//! One Idempotency-Key, one order: what is known of an order id before its record is produced, and
//! what follows from it.
//!
//! Three witnesses are asked. The order row is the truth. A marker in Redis exists only once Kafka
//! has acknowledged a record; a claim says that somebody is producing one, or was and may have
//! enqueued it, and proves nothing. The same two are kept in this process, so that it holds without
//! Redis as well. A witness that is silent has not said that there is nothing. None of them guards
//! the money: the log's order and the row do.

mod claims;
mod marker;

pub(crate) use claims::{ClaimGuard, LocalClaims};
pub(crate) use marker::{Claimed, MarkerStore};

use domain::BodyDigest;
use serde::{Deserialize, Serialize};

/// Section `[idempotency]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencySettings {
    /// How long Redis keeps the marker of an acknowledged record, or a claim that nobody took
    /// back, in seconds.
    pub marker_ttl_s: u64,
    /// How long Redis may take before it is done without, in milliseconds.
    pub redis_timeout_ms: u64,
    /// Failures in a row after which Redis is not asked for a while.
    pub redis_failures_max: u32,
    /// How long that while is, in milliseconds.
    pub redis_pause_ms: u64,
    /// Most accepted orders remembered in this process.
    pub accepted_max: usize,
}

/// What a claim or a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Of which body.
    pub(crate) digest: BodyDigest,
    /// Whether Kafka has acknowledged its record.
    pub(crate) acknowledged: bool,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nobody is known to have asked for this before.
    Produce,
    /// The same body is being produced by somebody else, who may yet fail.
    ProduceToo,
    /// The same order was accepted before.
    Replay,
    /// Another body was accepted under this key.
    RefuseReused,
    /// Another body is being produced under this key; who wins is not decided yet.
    RefuseInFlight,
}

/// Decides for a body of this digest. `row` is the digest of the order's row, if there is a row;
/// `marks` is what this process and Redis say.
pub(crate) fn decide(
    digest: BodyDigest,
    row: Option<BodyDigest>,
    marks: [Option<Mark>; 2],
) -> Decision {
    let marks = || marks.into_iter().flatten();
    let acknowledged = marks().find(|mark| mark.acknowledged);
    if let Some(accepted) = row.or(acknowledged.map(|mark| mark.digest)) {
        return if accepted == digest {
            Decision::Replay
        } else {
            Decision::RefuseReused
        };
    }
    if marks().any(|mark| mark.digest != digest) {
        Decision::RefuseInFlight
    } else if marks().next().is_some() {
        Decision::ProduceToo
    } else {
        Decision::Produce
    }
}

/// Whether the row's shard, Redis and this process have all said that they know of nobody else who
/// asked for this order. One that is silent may know somebody.
pub(crate) fn is_alone(decision: Decision, row_is_known: bool, claimed: &Claimed) -> bool {
    match decision {
        Decision::Produce => row_is_known && claimed.is_mine(),
        Decision::ProduceToo
        | Decision::Replay
        | Decision::RefuseReused
        | Decision::RefuseInFlight => false,
    }
}

#[cfg(test)]
mod tests {
    use super::marker::Claim;
    use super::*;

    const MINE: BodyDigest = BodyDigest::from_bytes([1; 32]);
    const OTHER: BodyDigest = BodyDigest::from_bytes([2; 32]);

    fn mark(digest: BodyDigest, acknowledged: bool) -> Option<Mark> {
        Some(Mark {
            digest,
            acknowledged,
        })
    }

    #[test]
    fn the_row_outweighs_every_mark() {
        for marks in [[None, None], [mark(OTHER, true), mark(OTHER, false)]] {
            assert_eq!(decide(MINE, Some(MINE), marks), Decision::Replay);
        }
        for marks in [[None, None], [mark(MINE, true), mark(MINE, false)]] {
            assert_eq!(decide(MINE, Some(OTHER), marks), Decision::RefuseReused);
        }
    }

    #[test]
    fn a_claim_alone_never_stands_for_an_accepted_order() {
        for marks in [
            [mark(MINE, false), None],
            [None, mark(MINE, false)],
            [mark(MINE, false), mark(MINE, false)],
        ] {
            assert_eq!(decide(MINE, None, marks), Decision::ProduceToo);
        }
    }

    #[test]
    fn without_a_row_marks_decide() {
        let decide = |marks| decide(MINE, None, marks);
        assert_eq!(decide([None, None]), Decision::Produce);
        assert_eq!(decide([None, mark(MINE, true)]), Decision::Replay);
        assert_eq!(
            decide([mark(MINE, true), mark(MINE, false)]),
            Decision::Replay
        );
        assert_eq!(decide([None, mark(OTHER, true)]), Decision::RefuseReused);
        assert_eq!(
            decide([mark(MINE, false), mark(OTHER, true)]),
            Decision::RefuseReused
        );
        assert_eq!(decide([None, mark(OTHER, false)]), Decision::RefuseInFlight);
        assert_eq!(
            decide([mark(MINE, false), mark(OTHER, false)]),
            Decision::RefuseInFlight
        );
    }

    fn claim() -> Claim {
        Claim("c:0:0".into())
    }

    #[test]
    fn only_who_heard_of_nobody_from_everybody_is_alone() {
        assert!(is_alone(Decision::Produce, true, &Claimed::Mine(claim())));
        let theirs = Claimed::Theirs(Mark {
            digest: MINE,
            acknowledged: false,
        });
        for (decision, row_is_known, claimed) in [
            (Decision::Produce, false, Claimed::Mine(claim())),
            (Decision::Produce, true, Claimed::Silence(claim())),
            (Decision::Produce, true, Claimed::Unreadable),
            (Decision::ProduceToo, true, Claimed::Mine(claim())),
            (Decision::ProduceToo, true, theirs),
        ] {
            let alone = is_alone(decision, row_is_known, &claimed);
            assert!(!alone, "{decision:?}, {row_is_known}, {claimed:?}");
        }
    }
}
