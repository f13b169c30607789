//! Takes one order: finds out what is known of its id, decides, and has its record acknowledged.
//!
//! It runs in a task of its own, so that a client that hangs up leaves nothing half done. A marker
//! or a memory of the order is made only after Kafka's acknowledgement.

use crate::idempotency::{ClaimGuard, Claimed, Decision, decide, is_alone};
use crate::order_lookup::Found;
use crate::order_producer::ProduceError;
use crate::state::App;
use domain::{OrderId, PaymentCommand};
use std::sync::Arc;
use store::OrderRow;

/// An order to take.
pub(crate) struct Submission {
    /// The record to produce, if it comes to that.
    pub(crate) command: Arc<PaymentCommand>,
    /// W3C trace context of the request.
    pub(crate) traceparent: String,
    /// Whether somebody in this process waits for the outcome.
    pub(crate) wake: bool,
}

/// The order is Kafka's now, or was before.
pub(crate) struct Accepted {
    /// Whether it was accepted, or is being accepted, for another request.
    pub(crate) replayed: bool,
    /// Its row, if there is one.
    pub(crate) row: Option<Arc<OrderRow>>,
}

/// Why the order was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    /// The key stands for another body.
    #[error("the key was used with another body")]
    KeyReused,
    /// Another body is being taken under this key.
    #[error("another body is being taken under this key")]
    KeyInFlight,
    /// Kafka has not acknowledged it.
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

/// Takes the order.
pub(crate) async fn accept(app: App, submission: Submission) -> Result<Accepted, AcceptError> {
    let (id, digest) = (submission.command.order_id, submission.command.body_digest);
    let (local_mark, local_claim) = app.local_claims.enter(id, digest);
    let (found, claimed) = tokio::join!(
        app.lookup.find_unless_down(id),
        app.markers.claim(id, digest, rand::random())
    );
    // An unreachable shard keeps nobody from ordering: the log asks the row again.
    let (row, row_is_known) = match found {
        Found::Row(row) => (Some(row), true),
        Found::Missing => (None, true),
        Found::Unreachable => (None, false),
    };
    let row_digest = row.as_ref().map(|row| row.body_digest);
    let decision = decide(digest, row_digest, [local_mark, claimed.mark()]);
    let taken = match decision {
        Decision::Produce | Decision::ProduceToo => {
            let alone = is_alone(decision, row_is_known, &claimed);
            if matches!(claimed, Claimed::Theirs(_)) {
                app.markers.join(id, digest, rand::random()).await;
            }
            let produced = produce(&app, &submission).await;
            match produced {
                Err(error) => Err(told(&app, id, &claimed, alone, error).await),
                Ok(()) => Ok(()),
            }
        }
        Decision::Replay => Ok(()),
        Decision::RefuseReused => Err(AcceptError::KeyReused),
        Decision::RefuseInFlight => Err(AcceptError::KeyInFlight),
    };
    let replayed = match decision {
        Decision::Produce => false,
        // Of several at once, the one whose claim stands in Redis is the first.
        Decision::ProduceToo => !claimed.is_mine(),
        Decision::Replay | Decision::RefuseReused | Decision::RefuseInFlight => true,
    };
    remember(&app, &submission, &taken, local_claim, claimed, decision).await;
    taken.map(|()| Accepted { replayed, row })
}

async fn produce(app: &App, submission: &Submission) -> Result<(), ProduceError> {
    let wake = submission.wake.then(|| app.outcomes.instance());
    let command = &submission.command;
    app.producer
        .produce(command, &submission.traceparent, wake)
        .await
}

/// What the client is told of a failure. That nothing will come of it is said only by who was alone
/// when it was claimed, and still is as the claim is taken back.
async fn told(
    app: &App,
    id: OrderId,
    claimed: &Claimed,
    alone: bool,
    error: ProduceError,
) -> AcceptError {
    let enqueued_nothing = matches!(error, ProduceError::NotEnqueued(_));
    let certain = match claimed {
        Claimed::Mine(claim) if alone && enqueued_nothing => {
            !app.local_claims.may_be_enqueued(id) && app.markers.unclaim(id, claim).await
        }
        Claimed::Mine(_) | Claimed::Theirs(_) | Claimed::Unreadable | Claimed::Silence(_) => false,
    };
    AcceptError::Produce(if certain { error } else { in_doubt(error) })
}

/// Somebody may have enqueued the same order: then nobody can say that nothing will come of it.
fn in_doubt(error: ProduceError) -> ProduceError {
    match error {
        ProduceError::NotEnqueued(cause) | ProduceError::OutcomeUnknown(cause) => {
            ProduceError::OutcomeUnknown(cause)
        }
    }
}

/// Leaves behind what later requests need to know, and no more.
async fn remember(
    app: &App,
    submission: &Submission,
    taken: &Result<(), AcceptError>,
    local_claim: ClaimGuard,
    claimed: Claimed,
    decision: Decision,
) {
    let (id, digest) = (submission.command.order_id, submission.command.body_digest);
    match taken {
        Ok(()) => {
            local_claim.accepted();
            if decision != Decision::Replay || claimed.is_mine() {
                app.markers.mark(id, digest).await;
            }
        }
        // The record may be on its way: a claim stands until its time is up.
        Err(AcceptError::Produce(ProduceError::OutcomeUnknown(_))) => {
            local_claim.in_doubt();
            if !claimed.is_mine() {
                // Redis may be back, and whoever claimed it first may have taken that back.
                app.markers.claim(id, digest, rand::random()).await;
            }
        }
        // Its claim is taken back already.
        Err(AcceptError::Produce(ProduceError::NotEnqueued(_))) => {}
        Err(AcceptError::KeyReused | AcceptError::KeyInFlight) => {
            // A claim that Redis did not answer may stand there all the same.
            if let Claimed::Mine(claim) | Claimed::Silence(claim) = claimed {
                app.markers.unclaim(id, &claim).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_turns_every_failure_into_an_unknown_outcome() {
        for error in [
            ProduceError::NotEnqueued("down".into()),
            ProduceError::OutcomeUnknown("down".into()),
        ] {
            let doubted = in_doubt(error);
            assert!(matches!(doubted, ProduceError::OutcomeUnknown(cause) if cause == "down"));
        }
    }
}
