//! The API's operations, one file each, and their description.

mod accounts;
mod create_order;
mod export_orders;
mod funding;
mod get_order;
mod idempotency_key;
pub(crate) mod openapi;
mod search_orders;
mod search_summary;
mod statement;

use crate::state::App;
use axum::Router;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations and their OpenAPI document.
pub(crate) fn api() -> (Router<App>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(create_order::create_order))
        .routes(routes!(get_order::get_order))
        .routes(routes!(accounts::open_account))
        .routes(routes!(accounts::get_account))
        .routes(routes!(accounts::close_account))
        .routes(routes!(funding::fund_account))
        .routes(routes!(statement::get_statement))
        .routes(routes!(statement::get_statement_days))
        .routes(routes!(search_orders::search_orders))
        .routes(routes!(search_summary::summarise_orders))
        .split_for_parts()
}

/// The OpenAPI document as it is served.
pub fn openapi_json() -> String {
    openapi::document(&api().1)
}
