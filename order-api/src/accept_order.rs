//! Takes one order: finds out what is known of its id, decides, and has its record acknowledged.
//!
//! It runs in a task of its own, so that a client that hangs up leaves nothing half done. A marker
//! or a memory of the order is made only after Kafka's acknowledgement.

use crate::idempotency::{Claim, ClaimGuard, Decision, decide};
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
    // An unreachable shard keeps nobody from ordering: the log asks the row again.
    let (row, row_is_known) = match found {
        Found::Row(row) => (Some(row), true),
        Found::Missing => (None, true),
        Found::Unreachable => (None, false),
    };
    let row_digest = row.as_ref().map(|row| row.body_digest);
    let decision = decide(digest, row_digest, [local_mark, redis_mark]);
    let taken = match decision {
        Decision::Produce if row_is_known => produce(&app, &submission).await,
        Decision::Produce | Decision::ProduceToo => {
            produce(&app, &submission).await.map_err(in_doubt)
        }
        Decision::Replay => Ok(()),
        Decision::RefuseReused => Err(AcceptError::KeyReused),
        Decision::RefuseInFlight => Err(AcceptError::KeyInFlight),
    };
    let replayed = match decision {
        Decision::Produce => false,
        // Of several at once, the one whose claim stands in Redis is the first.
        Decision::ProduceToo => claim.is_none(),
        Decision::Replay | Decision::RefuseReused | Decision::RefuseInFlight => true,
    };
    remember(&app, &submission, &taken, local_claim, claim, decision).await;
    taken.map(|()| Accepted { replayed, row })
}

async fn produce(app: &App, submission: &Submission) -> Result<(), AcceptError> {
    let wake = submission.wake.then(|| app.outcomes.instance());
    let command = &submission.command;
    let produced = app
        .producer
        .produce(command, &submission.traceparent, wake)
        .await;
    produced.map_err(|error| {
        let error = AcceptError::Produce(error);
        if app.local_claims.is_unacknowledged(command.order_id) {
            in_doubt(error)
        } else {
            error
        }
    })
}

/// Somebody may have enqueued the same order: then nobody can say that nothing will come of it.
fn in_doubt(error: AcceptError) -> AcceptError {
    match error {
        AcceptError::Produce(ProduceError::NotEnqueued(cause)) => {
            AcceptError::Produce(ProduceError::OutcomeUnknown(cause))
        }
        AcceptError::Produce(ProduceError::OutcomeUnknown(_))
        | AcceptError::KeyReused
        | AcceptError::KeyInFlight => error,
    }
}

/// Leaves behind what later requests need to know, and no more.
async fn remember(
    app: &App,
    submission: &Submission,
    taken: &Result<(), AcceptError>,
    local_claim: ClaimGuard,
    claim: Option<Claim>,
    decision: Decision,
) {
    let (id, digest) = (submission.command.order_id, submission.command.body_digest);
    match taken {
        Ok(()) => {
            local_claim.accepted();
            if decision != Decision::Replay || claim.is_some() {
                app.markers.mark(id, digest).await;
            }
        }
        // The record may be on its way: the claim stands until its time is up.
        Err(AcceptError::Produce(ProduceError::OutcomeUnknown(_))) => local_claim.unacknowledged(),
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
}
