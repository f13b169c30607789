//! `GET /v1/orders/{id}`: what is known of an order, to those who may know of it.

use crate::auth::{Caller, Identity, Scope};
use crate::order_lookup::Found;
use crate::order_view::OrderView;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::state::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::OrderId;

/// Shows an order.
#[utoipa::path(
    get,
    path = "/v1/orders/{id}",
    tag = "orders",
    params(("id" = String, Path, description = "`ord_` and 32 hexadecimal digits")),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 404, description = "`order_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`: where the order is kept cannot be reached now", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_order(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<OrderView>, Problem> {
    caller.require(Scope::OrdersRead)?;
    let id: OrderId = id.parse().map_err(|_| not_found())?;
    match app.lookup.find(id).await {
        Found::Row(row) if caller.sees(&row.tenant, Some(&row.merchant)) => {
            Ok(Json(OrderView::of_row(&row)))
        }
        Found::Row(_) => Err(not_found()),
        // An id that we gave to this merchant: accepted, and nobody has worked on it yet.
        Found::Missing if is_his(&app, &caller, id) => Ok(Json(OrderView::processing(id))),
        Found::Missing => Err(not_found()),
        Found::Unreachable => Err(Problem::new(
            ProblemKind::StoreUnavailable,
            "where this order would be kept cannot be reached now",
        )
        .retry_after_s(1)),
    }
}

fn is_his(app: &App, caller: &Identity, id: OrderId) -> bool {
    let knows = |merchant: &String| app.id_key.knows(id, &caller.tenant, merchant);
    caller.merchant.as_ref().is_some_and(knows)
}

fn not_found() -> Problem {
    Problem::new(ProblemKind::OrderNotFound, "there is no such order")
}
