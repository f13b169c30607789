//! `GET /v1/search/orders?format=csv` or `ndjson`: all orders that a search finds, as one file.

use super::search_orders::{begin, give_back, problem, read_consistency, resume};
use crate::audit::write_down;
use crate::auth::Caller;
use crate::export::{ExportFormat, Place, require_an_end};
use crate::order_view::shown_time;
use crate::problem::{Problem, ProblemKind};
use crate::search::{Cursor, Page, Parameters};
use crate::search_export::{self, Export};
use crate::state::App;
use axum::http::{HeaderName, HeaderValue, Version};
use axum::response::Response;
use domain::OrderId;
use serde_json::{Map, Value, json};
use store::audit::{Action, Deed, detail, digest};

/// Leads to this export's point in time again, together with `after`.
const CURSOR: HeaderName = HeaderName::from_static("export-cursor");
/// Everything that happened before is in the export.
const AS_OF: HeaderName = HeaderName::from_static("export-as-of");

/// Answers with the whole search. Its first page is read before the answer begins, so that whatever
/// stands in the way at first is told as a problem.
pub(super) async fn export_orders(
    app: App,
    caller: &Caller,
    version: Version,
    mut parameters: Parameters,
    format: ExportFormat,
) -> Result<Response, Problem> {
    require_an_end(version)?;
    refuse_what_goes_with_pages(&mut parameters)?;
    let after = parameters.take("after", |text| {
        let order = text.parse::<OrderId>();
        order.map_err(|error| error.to_string())
    })?;
    let given = parameters.take("cursor", |text| Ok(text.to_owned()))?;
    if after.is_some() && given.is_none() {
        let detail = "goes with the cursor of the export that it goes on with";
        return Err(Problem::parameter("after", detail));
    }
    let is_new = given.is_none();
    let place = Place::take(&app)?;
    let mut search = match given {
        Some(text) => resume(&app, caller, &text, parameters)?,
        None => begin(&app, caller, parameters).await?,
    };
    if search.strict {
        let detail = "is of a search with consistency=strict, which is shown page by page only";
        return Err(Problem::parameter("cursor", detail));
    }
    if let Some(order) = after {
        search.after = place_after(&app, &search, order).await?;
    }
    let first = search_export::first_page(&app, &search).await;
    let is_kept = !is_new || first.as_ref().is_ok_and(search_export::is_full);
    if !is_kept {
        // Asked for once more it is complete at once; nobody needs to go on with it.
        give_back(&app, search.point_in_time.clone());
    }
    let first = first.map_err(problem)?;
    let headers = headers(&app, &search, &first, is_kept)?;
    if let Err(problem) = write_down(&app, caller, &deed(&search, format, after)).await {
        if is_new && is_kept {
            give_back(&app, search.point_in_time.clone());
        }
        return Err(problem);
    }
    let export = Export {
        app,
        search,
        first,
        format,
        with_header: after.is_none(),
    };
    let mut response = export.respond(place);
    response.headers_mut().extend(headers);
    Ok(response)
}

/// What the trail says of an export; one that goes on after an order is an export of its own.
fn deed(search: &Cursor, format: ExportFormat, after: Option<OrderId>) -> Deed<'_> {
    let filters = serde_json::to_value(&search.filters).unwrap_or_default();
    let filters: Map<String, Value> = match filters {
        Value::Object(filters) => filters.into_iter().filter(|(_, v)| is_set(v)).collect(),
        _ => Map::new(),
    };
    let filters: Map<String, Value> = filters.into_iter().map(impersonal).collect();
    Deed {
        tenant: Some(&search.tenant),
        action: Action::OrdersExported,
        object: "orders".into(),
        detail: detail([
            ("merchant", json!(search.merchant)),
            ("filters", Value::Object(filters)),
            ("format", json!(format.as_str())),
            ("after", json!(after.map(|order| order.to_string()))),
            ("as_of", json!(search.as_of.map(shown_time))),
        ]),
    }
}

/// Free text may name a person, and the trail is kept for ever.
fn impersonal((name, value): (String, Value)) -> (String, Value) {
    match (name.as_str(), &value) {
        ("q" | "reference", Value::String(text)) => {
            let told = digest(text);
            (name, told.into())
        }
        _ => (name, value),
    }
}

fn is_set(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
}

/// An export holds all that is found, as search has it.
fn refuse_what_goes_with_pages(parameters: &mut Parameters) -> Result<(), Problem> {
    let no_limit = |_: &str| Err("does not go with an export, which holds all orders".to_owned());
    parameters.take::<()>("limit", no_limit)?;
    parameters.take("consistency", |text| match read_consistency(text)? {
        true => Err("must be search for an export; strict is for pages".to_owned()),
        false => Ok(()),
    })?;
    Ok(())
}

async fn place_after(
    app: &App,
    search: &Cursor,
    order: OrderId,
) -> Result<Vec<serde_json::Value>, Problem> {
    let place = search_export::place_after(app, search, order).await;
    place.map_err(problem)?.ok_or_else(|| {
        let detail = "is not an order of the export that the cursor is of";
        Problem::parameter("after", detail)
    })
}

/// How fresh it is and, if it can be gone on with, how.
fn headers(
    app: &App,
    search: &Cursor,
    first: &Page,
    is_kept: bool,
) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let as_of = search.as_of.map(|as_of| (AS_OF, shown_time(as_of)));
    let cursor = is_kept.then(|| {
        let cursor = Cursor {
            point_in_time: first.point_in_time.clone(),
            ..search.clone()
        };
        app.cursor_key.seal(&cursor)
    });
    let internal = || Problem::new(ProblemKind::Internal, "the cursor cannot be made");
    let cursor = cursor.transpose().map_err(|_| internal())?;
    let cursor = cursor.map(|cursor| (CURSOR, cursor));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| internal());
    let headers = as_of.into_iter().chain(cursor);
    headers
        .map(|(name, text)| Ok((name, value(&text)?)))
        .collect()
}
