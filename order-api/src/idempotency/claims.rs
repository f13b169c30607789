//! What this process itself is producing or has lately had acknowledged.

use super::Mark;
use crate::remembered::Remembered;
use domain::{BodyDigest, OrderId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The orders in hand, and a bounded memory of the accepted ones.
#[derive(Clone)]
pub(crate) struct LocalClaims(Arc<Mutex<Claims>>);

struct Claims {
    in_hand: HashMap<OrderId, InHand>,
    accepted: Remembered<OrderId, BodyDigest>,
    /// May have been enqueued, here or elsewhere, and were never acknowledged.
    in_doubt: Remembered<OrderId, ()>,
}

struct InHand {
    digest: BodyDigest,
    requests: usize,
}

impl LocalClaims {
    /// Remembers at most `accepted_max` accepted orders.
    pub(crate) fn new(accepted_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Claims {
            in_hand: HashMap::new(),
            accepted: Remembered::new(accepted_max),
            in_doubt: Remembered::new(accepted_max),
        })))
    }

    /// What was known of the order, and a claim for this body that ends when it is dropped. There
    /// is no claim while another body is in hand.
    pub(crate) fn enter(&self, id: OrderId, digest: BodyDigest) -> (Option<Mark>, ClaimGuard) {
        let mut claims = self.lock();
        let accepted = claims.accepted.get(&id).map(|digest| Mark {
            digest,
            acknowledged: true,
        });
        let in_hand = claims.in_hand.get(&id).map(|in_hand| Mark {
            digest: in_hand.digest,
            acknowledged: false,
        });
        let entered = in_hand.is_none_or(|mark| mark.digest == digest);
        if entered {
            let in_hand = claims.in_hand.entry(id).or_insert(InHand {
                digest,
                requests: 0,
            });
            in_hand.requests += 1;
        }
        let guard = ClaimGuard {
            claims: self.clone(),
            id,
            digest,
            entered,
        };
        (accepted.or(in_hand), guard)
    }

    /// Whether another request of this process may have enqueued a record of this order.
    pub(crate) fn may_be_enqueued(&self, id: OrderId) -> bool {
        let mut claims = self.lock();
        claims.in_doubt.get(&id).is_some()
            || claims.accepted.get(&id).is_some()
            || (claims.in_hand.get(&id)).is_some_and(|in_hand| in_hand.requests > 1)
    }

    fn lock(&self) -> MutexGuard<'_, Claims> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim of one request; it ends when this is dropped.
pub(crate) struct ClaimGuard {
    claims: LocalClaims,
    id: OrderId,
    digest: BodyDigest,
    entered: bool,
}

impl ClaimGuard {
    /// The order is accepted: from now on this process knows.
    pub(crate) fn accepted(self) {
        self.claims.lock().accepted.insert(self.id, self.digest);
    }

    /// The record may have been enqueued, and was not acknowledged.
    pub(crate) fn in_doubt(self) {
        self.claims.lock().in_doubt.insert(self.id, ());
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        if !self.entered {
            return;
        }
        let mut claims = self.claims.lock();
        if let Some(in_hand) = claims.in_hand.get_mut(&self.id) {
            in_hand.requests -= 1;
            if in_hand.requests == 0 {
                claims.in_hand.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_lasts_until_its_last_request_ends() {
        let claims = LocalClaims::new(10);
        let id = OrderId::from_bytes([9; 16]);
        let (mine, other) = (
            BodyDigest::from_bytes([1; 32]),
            BodyDigest::from_bytes([2; 32]),
        );
        let (known, first) = claims.enter(id, mine);
        assert_eq!(known, None);
        let (known, second) = claims.enter(id, mine);
        assert!(known.is_some_and(|mark| !mark.acknowledged && mark.digest == mine));
        drop(first);
        let (known, refused) = claims.enter(id, other);
        assert!(known.is_some_and(|mark| !mark.acknowledged && mark.digest == mine));
        drop(refused);
        second.accepted();
        let (known, _) = claims.enter(id, other);
        assert!(known.is_some_and(|mark| mark.acknowledged && mark.digest == mine));
        assert!(claims.lock().in_hand.is_empty());
    }

    #[test]
    fn whoever_is_at_the_same_order_may_have_enqueued_it() {
        let claims = LocalClaims::new(10);
        let (id, body) = (
            OrderId::from_bytes([9; 16]),
            BodyDigest::from_bytes([1; 32]),
        );
        let (_, first) = claims.enter(id, body);
        assert!(!claims.may_be_enqueued(id));
        let (_, second) = claims.enter(id, body);
        assert!(claims.may_be_enqueued(id));
        second.accepted();
        assert!(claims.may_be_enqueued(id));
        drop(first);
        assert!(!claims.may_be_enqueued(OrderId::from_bytes([8; 16])));
    }

    #[test]
    fn a_failed_claim_leaves_no_mark() {
        let claims = LocalClaims::new(10);
        let id = OrderId::from_bytes([9; 16]);
        claims
            .enter(id, BodyDigest::from_bytes([1; 32]))
            .1
            .in_doubt();
        assert!(claims.may_be_enqueued(id));
        assert_eq!(claims.enter(id, BodyDigest::from_bytes([2; 32])).0, None);
    }
}
