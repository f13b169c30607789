//! Which path leads where, and what every request passes on its way.

use crate::problem::{Problem, ProblemKind};
use crate::state::App;
use crate::{limits, request_context, routes};
use axum::Router;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};

/// All routes with their layers; the outermost is written last.
pub(crate) fn router(app: App) -> Router {
    let (api, openapi) = routes::api();
    let api = api
        .layer(from_fn_with_state(app.clone(), limits::bound_time))
        .layer(from_fn_with_state(app.clone(), limits::shed_load));
    let probes = service::admin::probes(app.readiness.clone());
    Router::new()
        .merge(api)
        .with_state(app)
        .merge(routes::openapi::router(&openapi))
        .merge(probes)
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(limits::survive_panics))
        .layer(from_fn(request_context::layer))
}

async fn no_such_route() -> Problem {
    Problem::new(
        ProblemKind::RouteNotFound,
        "see /openapi.json for what there is",
    )
}

async fn wrong_method(method: Method) -> Problem {
    let detail = format!("{method} is not allowed here; the Allow header names what is");
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}
