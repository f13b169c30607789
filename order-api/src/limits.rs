//! What one request may cost: a place among those in hand, its time, and never the process.

use crate::prefer;
use crate::problem::{Problem, ProblemKind};
use crate::state::App;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Refuses when too many requests are in hand. Those that wait for an outcome are counted apart:
/// they cost nothing but their place.
pub(crate) async fn shed_load(State(app): State<App>, request: Request, next: Next) -> Response {
    let waits = prefer::wait(request.headers(), app.settings.waiting.wait_s_max).is_some();
    let places = if waits {
        &app.waiting_requests
    } else {
        &app.requests
    };
    let Ok(_place) = places.try_acquire() else {
        metrics::counter!("order_api_shed_requests_total").increment(1);
        return Problem::new(ProblemKind::Overloaded, "try again in a moment")
            .retry_after_s(1)
            .into_response();
    };
    next.run(request).await
}

/// Ends a request that takes longer than it may, besides what it asked to wait.
pub(crate) async fn bound_time(State(app): State<App>, request: Request, next: Next) -> Response {
    let wait = prefer::wait(request.headers(), app.settings.waiting.wait_s_max);
    let limit = Duration::from_millis(app.settings.http.request_timeout_ms);
    let limit = limit + wait.unwrap_or_default();
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            ProblemKind::RequestTimeout,
            format!("a request may take {} ms", limit.as_millis()),
        )
        .retry_after_s(1)
        .into_response(),
    }
}

/// A panic costs the request, not the process.
pub(crate) async fn survive_panics(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => Problem::new(ProblemKind::Internal, "the request was given up").into_response(),
    }
}
