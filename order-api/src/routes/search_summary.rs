//! `GET /v1/search/orders/summary`: counts and sums by payer, merchant, status or day.

use super::search_orders::{Pairs, parameters, problem, search_scope};
use crate::auth::{Caller, Scope};
use crate::order_view::shown_time;
use crate::problem::{Problem, ProblemBody};
use crate::search::{Bucket, SearchError, SummaryBy, read_summary, summary_query};
use crate::state::App;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

const BY: &str = "must be payer, merchant, status or day";

/// Counts and sums.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// What `key` is: `payer`, `merchant`, `status` or `day`.
    by: &'static str,
    /// Payers and merchants: the largest sum first. Days: the newest first.
    data: Vec<Bucket>,
    /// Everything that happened before is in here; null while nothing was ever indexed.
    #[schema(format = DateTime)]
    as_of: Option<String>,
}

/// Sums orders up.
#[utoipa::path(
    get,
    path = "/v1/search/orders/summary",
    tag = "search",
    params(
        ("by" = String, Query, description = "`payer` or `merchant` (the largest sums first), `status` or `day` (UTC, the newest first)"),
        ("status" = Option<String>, Query, description = "`processing`, `paid`, `cancelled`; several separated by commas"),
        ("reason" = Option<String>, Query, description = "Why cancelled; several separated by commas"),
        ("currency" = Option<String>, Query, description = "ISO 4217; several separated by commas"),
        ("merchant" = Option<String>, Query, description = "Who asked; several separated by commas"),
        ("payer" = Option<String>, Query, description = "The account that pays"),
        ("payee" = Option<String>, Query, description = "The account that is paid"),
        ("reference" = Option<String>, Query, description = "Exactly this reference"),
        ("amount_min" = Option<i64>, Query, description = "At least so many minor units"),
        ("amount_max" = Option<i64>, Query, description = "At most so many minor units"),
        ("created_from" = Option<String>, Query, description = "Accepted at this RFC 3339 time or later"),
        ("created_to" = Option<String>, Query, description = "Accepted before this time"),
        ("q" = Option<String>, Query, description = "All of these words in the description"),
        ("limit" = Option<u32>, Query, description = "Lines, 1 to 1000; default 100"),
    ),
    responses(
        (status = 200, description = "Counts and sums", body = Summary),
        (status = 503, description = "`search_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn summarise_orders(
    State(app): State<App>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<Summary>, Problem> {
    caller.require(Scope::SearchRead)?;
    let paging = &app.settings.paging;
    let mut parameters = parameters(pairs)?;
    let by = parameters.take("by", |text| read_by(text).ok_or_else(|| BY.to_owned()))?;
    let (by, name) = by.ok_or_else(|| Problem::parameter("by", BY))?;
    let limit = parameters.take_limit(paging.buckets_default, paging.buckets_max)?;
    let filters = parameters.take_filters()?;
    parameters.finish()?;
    // Before the search, so that it is not said to be fresher than it is.
    let as_of = app.search.as_of().await.map_err(problem)?;
    let query = summary_query(search_scope(&caller), &filters, by, limit);
    let answer = app.search.search(&query).await.map_err(problem)?;
    let refused = |text| problem(SearchError::Refused(text));
    Ok(Json(Summary {
        by: name,
        data: read_summary(answer, limit as usize).map_err(refused)?,
        as_of: as_of.map(shown_time),
    }))
}

fn read_by(text: &str) -> Option<(SummaryBy, &'static str)> {
    match text {
        "payer" => Some((SummaryBy::Payer, "payer")),
        "merchant" => Some((SummaryBy::Merchant, "merchant")),
        "status" => Some((SummaryBy::Status, "status")),
        "day" => Some((SummaryBy::Day, "day")),
        _ => None,
    }
}
