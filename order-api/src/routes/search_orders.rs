//! `GET /v1/search/orders`: orders by what is in them, page by page, at one point in time.

use super::export_orders::export_orders;
use crate::auth::{Caller, Identity, Scope};
use crate::export::ExportFormat;
use crate::order_view::shown_time;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::search::{
    self, Cursor, CursorError, FoundOrder, NotChecked, Page, Parameters, SearchError, Sums,
    orders_query, with_totals,
};
use crate::state::App;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::Version;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The pairs of a query string, in their order.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// One page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundOrders {
    /// The orders of this page.
    data: Vec<FoundOrder>,
    /// Leads to the next page of the same point in time; null on the last one.
    next_cursor: Option<String>,
    /// By status, then by currency, over all that fits the filters.
    totals: BTreeMap<String, BTreeMap<String, Sums>>,
    /// Everything that happened before is in here; null while nothing was ever indexed.
    #[schema(format = DateTime)]
    as_of: Option<String>,
}

/// Finds orders.
///
/// A cursor keeps its point in time, filters and sort: orders that change meanwhile are neither
/// shown twice nor skipped. An export is streamed and may be of any size; it is of one point in time
/// too, and one that broke off goes on where it did.
#[utoipa::path(
    get,
    path = "/v1/search/orders",
    tag = "search",
    params(
        ("status" = Option<String>, Query, description = "`processing`, `paid`, `cancelled`; several separated by commas"),
        ("reason" = Option<String>, Query, description = "Why cancelled; several separated by commas"),
        ("currency" = Option<String>, Query, description = "ISO 4217; several separated by commas"),
        ("merchant" = Option<String>, Query, description = "Who asked; several separated by commas"),
        ("payer" = Option<String>, Query, description = "The account that pays"),
        ("payee" = Option<String>, Query, description = "The account that is paid"),
        ("reference" = Option<String>, Query, description = "Exactly this reference"),
        ("amount_min" = Option<i64>, Query, description = "At least so many minor units"),
        ("amount_max" = Option<i64>, Query, description = "At most so many minor units"),
        ("created_from" = Option<String>, Query, description = "Accepted at this RFC 3339 time or later; a date begins at midnight UTC"),
        ("created_to" = Option<String>, Query, description = "Accepted before this time"),
        ("q" = Option<String>, Query, description = "All of these words in the description"),
        ("consistency" = Option<String>, Query, description = "`search` (the default) or `strict`: each order of the page is shown as its row is now, and one that no longer fits `status` and `reason` is left out. An order that search has not seen yet is not there, and `totals` are those of search"),
        ("sort" = Option<String>, Query, description = "`created_at`, `updated_at` or `amount`; with `-` before it descending. Default `-created_at`"),
        ("limit" = Option<u32>, Query, description = "Orders on a page, 1 to 200; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, or the header `export-cursor` of an export that broke off; other parameters may be left out, or must be the same"),
        ("format" = Option<String>, Query, description = "`json` (pages, the default), or an export of all that is found: `csv` or `ndjson`; not with `limit` or `consistency=strict`"),
        ("after" = Option<String>, Query, description = "For an export with `cursor`: only the orders after this one, the last that came whole. The header line is not sent again"),
    ),
    responses(
        (status = 200, description = "A page, or the export", content(
            (FoundOrders = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        ), headers(
            ("export-cursor" = String, description = "Of an export: goes on with it as `cursor`, with the `id` of the last order that came whole as `after`. Not of one so short that it is asked for again as soon"),
            ("export-as-of" = String, description = "Of an export: everything that happened before is in it"),
        )),
        (status = 410, description = "`cursor_expired`: begin again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`search_unavailable`; with `consistency=strict` also `store_unavailable`, for an export also `audit_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn search_orders(
    State(app): State<App>,
    caller: Caller,
    version: Version,
    pairs: Pairs,
) -> Result<Response, Problem> {
    caller.require(Scope::SearchRead)?;
    let mut parameters = parameters(pairs)?;
    match parameters.take("format", ExportFormat::read)?.flatten() {
        Some(format) => export_orders(app, &caller, version, parameters, format).await,
        None => Ok(Json(show_page(&app, &caller, parameters).await?).into_response()),
    }
}

async fn show_page(
    app: &App,
    caller: &Identity,
    mut parameters: Parameters,
) -> Result<FoundOrders, Problem> {
    let paging = &app.settings.paging;
    let limit = parameters.take_limit(paging.limit_default, paging.limit_max)?;
    let given = parameters.take("cursor", |text| Ok(text.to_owned()))?;
    let is_new = given.is_none();
    let begun = match given {
        Some(text) => resume(app, caller, &text, parameters)?,
        None => begin(app, caller, parameters).await?,
    };
    let searched = checked_page(app, &begun, limit).await;
    let goes_on = matches!(&searched, Ok((_, true)));
    if is_new && !goes_on {
        // Nobody has a cursor into it. One that was given out may be used again.
        give_back(app, begun.point_in_time.clone());
    }
    let (page, _) = searched?;
    shown(app, begun, page, goes_on)
}

/// What the query string says; each name once.
pub(super) fn parameters(pairs: Pairs) -> Result<Parameters, Problem> {
    let bad = |error: QueryRejection| Problem::new(ProblemKind::BadRequest, error.body_text());
    Parameters::new(pairs.map_err(bad)?.0)
}

/// What a failed search means for the caller.
pub(super) fn problem(error: SearchError) -> Problem {
    match error {
        SearchError::Unavailable(cause) => {
            tracing::warn!(cause, "Search cannot answer a request.");
            Problem::new(
                ProblemKind::SearchUnavailable,
                "orders are taken and shown as ever; only search is away",
            )
            .retry_after_s(2)
        }
        SearchError::PointInTimeGone => Problem::new(
            ProblemKind::CursorExpired,
            "begin the search again without a cursor",
        ),
        SearchError::Refused(cause) => {
            tracing::error!(cause, "Search refuses a request.");
            Problem::new(ProblemKind::Internal, "search refuses this request")
        }
    }
}

pub(super) fn read_consistency(text: &str) -> Result<bool, String> {
    match text {
        "search" => Ok(false),
        "strict" => Ok(true),
        _ => Err("must be search or strict".to_owned()),
    }
}

fn not_checked(NotChecked: NotChecked) -> Problem {
    Problem::new(
        ProblemKind::StoreUnavailable,
        "the page cannot be checked now; without consistency=strict it can be shown",
    )
    .retry_after_s(1)
}

/// Whose orders the caller may find.
pub(super) fn search_scope(caller: &Identity) -> search::Scope<'_> {
    search::Scope {
        tenant: &caller.tenant,
        merchant: caller.merchant.as_deref(),
    }
}

pub(super) async fn begin(
    app: &App,
    caller: &Identity,
    mut parameters: Parameters,
) -> Result<Cursor, Problem> {
    let filters = parameters.take_filters()?;
    let sort = parameters.take_sort()?.unwrap_or_default();
    let strict = parameters.take("consistency", read_consistency)?;
    parameters.finish()?;
    // Before the point in time, so that it is not said to be fresher than it is.
    let as_of = app.search.as_of().await.map_err(problem)?;
    let point_in_time = app.search.open_point_in_time().await.map_err(problem)?;
    Ok(Cursor {
        tenant: caller.tenant.clone(),
        merchant: caller.merchant.clone(),
        filters,
        sort,
        strict: strict.unwrap_or(false),
        point_in_time,
        after: Vec::new(),
        as_of,
    })
}

/// A cursor is its owner's alone, and means what it meant: parameters beside it must not differ.
pub(super) fn resume(
    app: &App,
    caller: &Identity,
    text: &str,
    mut parameters: Parameters,
) -> Result<Cursor, Problem> {
    let invalid = |error: CursorError| Problem::new(ProblemKind::CursorInvalid, error.to_string());
    let cursor = app.cursor_key.open(text).map_err(invalid)?;
    if cursor.tenant != caller.tenant || cursor.merchant != caller.merchant {
        return Err(invalid(CursorError));
    }
    let filters = parameters.take_filters()?;
    let sort = parameters.take_sort()?;
    let strict = parameters.take("consistency", read_consistency)?;
    parameters.finish()?;
    let repeats = filters == search::Filters::default() || filters == cursor.filters;
    let differs = sort.is_some_and(|sort| sort != cursor.sort)
        || strict.is_some_and(|strict| strict != cursor.strict);
    if !repeats || differs {
        let detail =
            "keeps its own filters, sort and consistency: leave the others out, or begin again";
        return Err(Problem::parameter("cursor", detail));
    }
    Ok(cursor)
}

/// A page as it was asked for, and whether there is another after it.
async fn checked_page(app: &App, begun: &Cursor, limit: u32) -> Result<(Page, bool), Problem> {
    let (mut page, has_more) = search_page(app, begun, limit).await?;
    if begun.strict {
        let checked = search::check(&app.lookup, page.orders, &begun.filters).await;
        page.orders = checked.map_err(not_checked)?;
    }
    Ok((page, has_more))
}

/// A page, and whether there is another after it.
async fn search_page(app: &App, begun: &Cursor, limit: u32) -> Result<(Page, bool), Problem> {
    let query = orders_query(begun, app.search.keep_alive_s(), limit + 1);
    let page = app.search.page(&with_totals(query)).await;
    let mut page = page.map_err(problem)?;
    let has_more = page.orders.len() > limit as usize;
    page.orders.truncate(limit as usize);
    page.places.truncate(limit as usize);
    Ok((page, has_more))
}

fn shown(app: &App, begun: Cursor, mut page: Page, goes_on: bool) -> Result<FoundOrders, Problem> {
    let as_of = begun.as_of.map(shown_time);
    let next_cursor = match page.places.pop() {
        Some(after) if goes_on => {
            let cursor = Cursor {
                after,
                point_in_time: page.point_in_time,
                ..begun
            };
            let internal = |_| Problem::new(ProblemKind::Internal, "the cursor cannot be made");
            Some(app.cursor_key.seal(&cursor).map_err(internal)?)
        }
        Some(_) | None => None,
    };
    Ok(FoundOrders {
        data: page.orders,
        next_cursor,
        totals: page.totals,
        as_of,
    })
}

/// A point in time that nobody comes back to costs Elasticsearch memory.
pub(super) fn give_back(app: &App, point_in_time: String) {
    let search = app.search.clone();
    tokio::spawn(async move { search.close_point_in_time(&point_in_time).await });
}
