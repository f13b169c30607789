//! `GET /v1/accounts/{id}/statement`: what was booked on an account, from its ledger.

use super::accounts::{account_id, not_found, store_scope, unavailable};
use super::search_orders::{Pairs, parameters};
use crate::audit::write_down;
use crate::auth::{Caller, Identity, Scope};
use crate::export::{ExportFormat, Place, require_an_end};
use crate::order_view::shown_time;
use crate::problem::{Problem, ProblemBody};
use crate::search::Parameters;
use crate::state::App;
use crate::statement_export::export;
use crate::statement_view::EntryView;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Version;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use store::audit::{Action, Deed, detail};
use store::{Period, Statement, StatementDay};
use utoipa::ToSchema;

/// A page of a statement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub(crate) struct StatementView {
    /// Whose it is.
    #[schema(example = "acct_01890a5d7c3e7b1f8a2b4c6d8e0f1a2b")]
    account: String,
    /// ISO 4217.
    currency: String,
    /// The ledger balance before the period, in minor units.
    opening_balance: i64,
    /// The ledger balance at the end of the period, in minor units.
    closing_balance: i64,
    /// How many entries the period has, on all pages.
    entries: u64,
    /// Every entry that was booked before this instant has been counted.
    #[schema(format = DateTime)]
    as_of: String,
    /// The entries of this page, the oldest first.
    data: Vec<EntryView>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<u64>,
}

/// A statement day by day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatementDays {
    /// Whose it is.
    account: String,
    /// ISO 4217.
    currency: String,
    /// The ledger balance before the period, in minor units.
    opening_balance: i64,
    /// The ledger balance at the end of the period, in minor units.
    closing_balance: i64,
    /// Every entry that was booked before this instant has been counted.
    #[schema(format = DateTime)]
    as_of: String,
    /// The days (UTC) on which something was booked, the oldest first.
    data: Vec<DayView>,
}

/// One day of a statement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementDay)]
pub(crate) struct DayView {
    /// Which day.
    #[schema(format = Date)]
    day: String,
    /// The ledger balance before its first entry, in minor units.
    opening_balance: i64,
    /// What was added, in minor units.
    credits: i64,
    /// What was taken, in minor units.
    debits: i64,
    /// The ledger balance after its last entry, in minor units.
    closing_balance: i64,
    /// How many entries it has.
    entries: u64,
}

/// Shows what was booked on an account.
///
/// Entries never change, so a page can be asked for again, and an export that broke off goes on
/// after its last complete line. An export is streamed and may be of any size.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/statement",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "`acct_` and 32 hexadecimal digits"),
        ("from" = Option<String>, Query, description = "Booked at this RFC 3339 time or later; a date begins at midnight UTC. Default: from the first entry on"),
        ("to" = Option<String>, Query, description = "Booked before this time. Default: up to now"),
        ("after" = Option<u64>, Query, description = "Only entries after this number: `next_after` of the page before, or that of the last complete line of an export that broke off"),
        ("limit" = Option<u32>, Query, description = "Entries on a page, 1 to 200; default 50; not for exports, which hold all of them"),
        ("format" = Option<String>, Query, description = "`json` (pages, the default), or an export: `csv` or `ndjson`"),
    ),
    responses(
        (status = 200, description = "A page, or the export", content(
            (StatementView = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        (status = 404, description = "`account_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`; for an export also `audit_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_statement(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    version: Version,
    pairs: Pairs,
) -> Result<Response, Problem> {
    caller.require(Scope::AccountsRead)?;
    let mut parameters = parameters(pairs)?;
    let period = period(&mut parameters)?;
    let after = parameters.take("after", |text| {
        let number = text.parse::<u64>();
        number.map_err(|_| "must be the number of an entry".to_owned())
    })?;
    let after = after.unwrap_or(0);
    if let Some(format) = parameters.take("format", ExportFormat::read)?.flatten() {
        parameters.finish()?;
        require_an_end(version)?;
        let statement = draw_up(&app, &caller, &id, period).await?;
        return export_audited(&app, &caller, statement, after, format).await;
    }
    let paging = &app.settings.paging;
    let limit = parameters.take_limit(paging.limit_default, paging.limit_max)?;
    parameters.finish()?;
    let statement = draw_up(&app, &caller, &id, period).await?;
    let page = page(&app, &caller, statement, after, limit).await?;
    Ok(Json(page).into_response())
}

/// Sums up what was booked on an account, day by day.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/statement/days",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "`acct_` and 32 hexadecimal digits"),
        ("from" = Option<String>, Query, description = "Booked at this RFC 3339 time or later; a date begins at midnight UTC. Default: from the first entry on"),
        ("to" = Option<String>, Query, description = "Booked before this time. Default: up to now"),
    ),
    responses(
        (status = 200, description = "The days on which something was booked", body = StatementDays),
        (status = 404, description = "`account_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_statement_days(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    pairs: Pairs,
) -> Result<Json<StatementDays>, Problem> {
    caller.require(Scope::AccountsRead)?;
    let mut parameters = parameters(pairs)?;
    let period = period(&mut parameters)?;
    parameters.finish()?;
    let statement = draw_up(&app, &caller, &id, period).await?;
    let (entries, entries_max) = (statement.entries(), app.settings.paging.summed_entries_max);
    if entries > entries_max {
        let detail =
            format!("the period has {entries} entries, and at most {entries_max} are summed up");
        return Err(Problem::parameter("from", detail));
    }
    let days = app.accounts.statement_days(&statement).await;
    let days = days.map_err(unavailable)?;
    Ok(Json(StatementDays {
        account: statement.account.id.to_string(),
        currency: statement.account.currency.to_string(),
        opening_balance: statement.opening_balance,
        closing_balance: statement.closing_balance,
        as_of: shown_time(statement.as_of),
        data: days.iter().map(DayView::of).collect(),
    }))
}

/// The file, once it is written down who takes it.
async fn export_audited(
    app: &App,
    caller: &Caller,
    statement: Statement,
    after: u64,
    format: ExportFormat,
) -> Result<Response, Problem> {
    let place = Place::take(app)?;
    let deed = Deed {
        tenant: Some(&caller.tenant),
        action: Action::StatementExported,
        object: statement.account.id.to_string().into(),
        detail: detail([
            ("merchant", json!(caller.merchant)),
            ("format", json!(format.as_str())),
            ("after", json!(after.max(statement.after))),
            ("through", json!(statement.through)),
        ]),
    };
    write_down(app, caller, &deed).await?;
    let caller = Identity::clone(caller);
    Ok(export(app, place, caller, statement, after, format))
}

fn period(parameters: &mut Parameters) -> Result<Period, Problem> {
    let period = Period {
        from: parameters.take_instant("from")?,
        to: parameters.take_instant("to")?,
    };
    match period.from.zip(period.to) {
        Some((from, to)) if to < from => Err(Problem::parameter("to", "must not be before from")),
        Some(_) | None => Ok(period),
    }
}

async fn draw_up(
    app: &App,
    caller: &Identity,
    id: &str,
    period: Period,
) -> Result<Statement, Problem> {
    let id = account_id(id)?;
    let statement = app.accounts.statement(store_scope(caller), id, period);
    statement.await.map_err(unavailable)?.ok_or_else(not_found)
}

async fn page(
    app: &App,
    caller: &Identity,
    statement: Statement,
    after: u64,
    limit: u32,
) -> Result<StatementView, Problem> {
    let entries = app.accounts.statement_entries(&statement, after, limit);
    let entries = entries.await.map_err(unavailable)?;
    let last = entries.last().map(|entry| entry.number);
    Ok(StatementView {
        account: statement.account.id.to_string(),
        currency: statement.account.currency.to_string(),
        opening_balance: statement.opening_balance,
        closing_balance: statement.closing_balance,
        entries: statement.entries(),
        as_of: shown_time(statement.as_of),
        data: entries
            .iter()
            .map(|entry| EntryView::of(entry, app, caller))
            .collect(),
        next_after: last.filter(|last| *last < statement.through),
    })
}

impl DayView {
    fn of(day: &StatementDay) -> Self {
        Self {
            day: day.day.to_string(),
            opening_balance: day.opening_balance,
            credits: day.credits,
            debits: day.debits,
            closing_balance: day.closing_balance,
            entries: day.entries,
        }
    }
}
