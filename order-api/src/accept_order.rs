//! Takes one order: finds out what is known of its id, decides, and has its record acknowledged.
//!
//! It runs in a task of its own, so that a client that hangs up leaves nothing half done. A marker
//! or a memory of the order is made only after Kafka's acknowledgement.

use crate::idempotency::{Decision, decide};
use crate::order_lookup::Found;
use crate::order_producer::ProduceError;
use crate::state::App;
use domain::PaymentCommand;
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
    let (found, (claim, redis_mark)) = tokio::join!(
        app.lookup.find_unless_down(id),
        app.markers.claim(id, digest, rand::random())
    );
    let row = match found {
        Found::Row(row) => Some(row),
        // An unreachable shard keeps nobody from ordering: the row is asked again by the log.
        Found::Missing | Found::Unreachable => None,
    };
    let row_digest = row.as_ref().map(|row| row.body_digest);
    let decision = decide(digest, row_digest, [local_mark, redis_mark]);
    let produced = match decision {
        Decision::Produce | Decision::ProduceToo => produce(&app, &submission).await,
        Decision::Replay => Ok(()),
        Decision::RefuseReused => Err(AcceptError::KeyReused),
        Decision::RefuseInFlight => Err(AcceptError::KeyInFlight),
    };
    match &produced {
        Ok(()) => {
            local_claim.accepted();
            if decision != Decision::Replay || claim.is_some() {
                app.markers.mark(id, digest).await;
            }
        }
        // The record may be on its way: the claim stands until its time is up.
        Err(AcceptError::Produce(ProduceError::OutcomeUnknown(_))) => {}
        Err(
            AcceptError::KeyReused
            | AcceptError::KeyInFlight
            | AcceptError::Produce(ProduceError::NotEnqueued(_)),
        ) => {
            if let Some(claim) = claim {
                app.markers.unclaim(id, claim).await;
            }
        }
    }
    produced.map(|()| Accepted {
        replayed: decision != Decision::Produce,
        row,
    })
}

async fn produce(app: &App, submission: &Submission) -> Result<(), AcceptError> {
    let wake = submission.wake.then(|| app.outcomes.instance());
    let produced = app
        .producer
        .produce(&submission.command, &submission.traceparent, wake);
    Ok(produced.await?)
}
