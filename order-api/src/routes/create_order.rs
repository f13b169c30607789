//! `POST /v1/orders`: 202 once Kafka has acknowledged the order, and not before.

use super::idempotency_key;
use crate::accept_order::{AcceptError, Submission, accept};
use crate::auth::{Caller, Scope};
use crate::body;
use crate::order_body::NewOrder;
use crate::order_producer::ProduceError;
use crate::order_view::OrderView;
use crate::outcome_wait::ended;
use crate::prefer;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::request_context::RequestContext;
use crate::state::App;
use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use domain::{OrderId, PaymentBody, PaymentCommand};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use store::OrderRow;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Places an order.
///
/// The order is durable once it is answered with 202. Repeat the request with the same
/// Idempotency-Key and body whenever an answer is lost: it is the same order.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "orders",
    params(
        ("Idempotency-Key" = String, Header, description = "Your own name for this request: 1 to 255 visible ASCII characters"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N seconds for the outcome (RFC 7240)"),
    ),
    request_body = NewOrder,
    responses(
        (status = 200, description = "The outcome, where it was waited for and came in time", body = OrderView),
        (status = 202, description = "Accepted; `Location` tells where to look. `Idempotent-Replayed: true` if it was accepted before", body = OrderView),
        (status = 409, description = "`idempotency_key_in_flight`: another body is being accepted under this key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency_key_reused`: the key stands for another body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`not_enqueued`: nothing will ever happen. `outcome_unknown`: repeat the request, or look at `Location`. `overloaded`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create_order(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::OrdersWrite)?;
    let merchant = caller.require_merchant()?;
    let key = idempotency_key::required(request.headers())?;
    let id = app.id_key.order_id(&caller.tenant, merchant, key);
    let wait = wish(&app, request.headers());
    let new_order: NewOrder = body::json(request, &app).await?;
    let body = PaymentBody::try_from(new_order)?;
    let not_after_ms = app.settings.orders.not_after_ms;
    let command = command(
        id,
        (&caller.tenant, merchant),
        body,
        Utc::now(),
        not_after_ms,
    )?;
    let command = Arc::new(command);
    // Begun before the order is produced, so that no wake is missed.
    let waiter = wait.map(|wait| (app.outcomes.begin(id), wait));
    let submission = Submission {
        command: Arc::clone(&command),
        traceparent: context.traceparent().to_owned(),
        wake: wait.is_some(),
    };
    let accepting = app.tasks.spawn(accept(app.clone(), submission));
    let accepted = accepting.await.map_err(|_| outcome_unknown(id))?;
    let accepted = accepted.map_err(|error| problem(error, id))?;
    let row = match waiter {
        Some((waiter, wait)) if !accepted.row.as_deref().is_some_and(ended) => waiter
            .outcome(&app.lookup, wait, &app.stopping)
            .await
            .or(accepted.row),
        Some(_) | None => accepted.row,
    };
    // Two bodies met without knowing of each other, and the log has decided for the other one.
    if row
        .as_ref()
        .is_some_and(|row| row.body_digest != command.body_digest)
    {
        return Err(problem(AcceptError::KeyReused, id));
    }
    Ok(answer(&command, row.as_deref(), accepted.replayed, wait))
}

fn wish(app: &App, headers: &HeaderMap) -> Option<Duration> {
    prefer::wait(headers, app.settings.waiting.wait_s_max)
}

/// The record of this order. Times are as precise as the stores keep them.
fn command(
    order_id: OrderId,
    (tenant, merchant): (&str, &str),
    body: PaymentBody,
    now: DateTime<Utc>,
    not_after_ms: u64,
) -> Result<PaymentCommand, Problem> {
    let body_digest = body.digest();
    let internal = |cause: &dyn std::fmt::Display| {
        tracing::error!(%cause, order.id = %order_id, "An order cannot be made into a record.");
        Problem::new(ProblemKind::Internal, "the order was not taken")
    };
    let metadata = body.metadata.map(RawValue::from_string).transpose();
    let metadata = metadata.map_err(|error| internal(&error))?;
    let accepted_at = now.trunc_subsecs(6);
    let not_after_ms = i64::try_from(not_after_ms).map_err(|error| internal(&error))?;
    Ok(PaymentCommand {
        order_id,
        tenant: tenant.to_owned(),
        merchant: merchant.to_owned(),
        payer: body.payer,
        payee: body.payee,
        amount: body.amount,
        currency: body.currency,
        reference: body.reference,
        description: body.description,
        metadata,
        body_digest,
        accepted_at,
        not_after: accepted_at + TimeDelta::milliseconds(not_after_ms),
    })
}

fn answer(
    command: &PaymentCommand,
    row: Option<&OrderRow>,
    replayed: bool,
    wait: Option<Duration>,
) -> Response {
    let status = match (wait, row) {
        (Some(_), Some(row)) if ended(row) => StatusCode::OK,
        (Some(_) | None, Some(_) | None) => StatusCode::ACCEPTED,
    };
    let view = row.map_or_else(|| OrderView::of_command(command), OrderView::of_row);
    let mut response = (status, Json(view)).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&location(command.order_id)) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(wait) = wait
        && let Ok(applied) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
    {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    response
}

fn location(id: OrderId) -> String {
    format!("/v1/orders/{id}")
}

fn problem(error: AcceptError, id: OrderId) -> Problem {
    match error {
        AcceptError::KeyReused => Problem::new(
            ProblemKind::IdempotencyKeyReused,
            "the first order under this key stands untouched; use a new key for another one",
        ),
        AcceptError::KeyInFlight => Problem::new(
            ProblemKind::IdempotencyKeyInFlight,
            "another body came first under this key, and it is not decided yet whether it counts: \
             repeat that one to settle it, or use a new key",
        )
        .retry_after_s(1),
        AcceptError::Produce(ProduceError::NotEnqueued(cause)) => {
            tracing::debug!(cause, order.id = %id, "An order was not enqueued.");
            Problem::new(
                ProblemKind::NotEnqueued,
                "orders cannot be taken now, and nothing will come of this request: repeat it, or do without",
            )
            .retry_after_s(1)
        }
        AcceptError::Produce(ProduceError::OutcomeUnknown(cause)) => {
            tracing::warn!(cause, order.id = %id, "An order was not acknowledged in time.");
            outcome_unknown(id)
        }
    }
}

fn outcome_unknown(id: OrderId) -> Problem {
    Problem::new(
        ProblemKind::OutcomeUnknown,
        "repeat the request with the same Idempotency-Key: it is the same order",
    )
    .retry_after_s(2)
    .with_header(header::LOCATION, &location(id))
}
