//! All orders of a search as a file: CSV or NDJSON, read page by page within one point in time.
//!
//! The point in time lives from page to page, and for as long as a cursor after the last one, so that
//! whoever lost his connection can come back: with the cursor of the answer's head, and the id of the
//! last order that he has whole.

use crate::export::{BreakOff, ExportFile, ExportFormat, Outlet, Place, respond, to_ndjson};
use crate::search::{
    Cursor, FoundOrder, Page, SearchError, Window, csv_header, only, orders_query, to_csv,
};
use crate::state::App;
use axum::response::Response;
use bytes::Bytes;
use domain::OrderId;
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tokio::try_join;

/// Orders on a page; some three of them are in hand at once.
const PAGE: u32 = 1_000;
/// How long it is waited before a page is asked for again: first, and at most.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The first page of an export: the one after the cursor's place.
pub(crate) async fn first_page(app: &App, search: &Cursor) -> Result<Page, SearchError> {
    page(app, search, None).await
}

async fn page(app: &App, search: &Cursor, window: Option<Window>) -> Result<Page, SearchError> {
    let mut query = orders_query(search, app.search.keep_alive_s(), PAGE);
    if let Some(window) = window {
        query = window.confine(query, search);
    }
    app.search.page(&query).await
}

/// Whether there may be another page after this one, which looked at all that was left.
pub(crate) fn is_full(page: &Page) -> bool {
    page.orders.len() >= PAGE as usize
}

/// The place right after this order; none if the search does not find it.
pub(crate) async fn place_after(
    app: &App,
    search: &Cursor,
    order: OrderId,
) -> Result<Option<Vec<Value>>, SearchError> {
    let whole = Cursor {
        after: Vec::new(),
        ..search.clone()
    };
    let query = orders_query(&whole, app.search.keep_alive_s(), 1);
    let mut found = app.search.page(&only(query, order)).await?;
    Ok(found.places.pop())
}

/// What is to be sent.
pub(crate) struct Export {
    pub(crate) app: App,
    pub(crate) search: Cursor,
    /// The page after the search's place.
    pub(crate) first: Page,
    pub(crate) format: ExportFormat,
    /// Whoever goes on has the header already.
    pub(crate) with_header: bool,
}

impl Export {
    /// The answer that sends it.
    pub(crate) fn respond(self, place: Place) -> Response {
        let app = self.app.clone();
        let file = ExportFile {
            name: "orders".to_owned(),
            format: self.format,
            of: self.search.tenant.clone(),
        };
        respond(&app, place, file, |outlet| self.send(outlet))
    }

    async fn send(self, outlet: Outlet) -> Result<(), BreakOff> {
        let Self {
            app,
            mut search,
            first: mut page,
            format,
            with_header,
        } = self;
        if with_header && format == ExportFormat::Csv {
            outlet.send(csv_header()?).await?;
        }
        let mut window = None;
        while is_full(&page) || window.is_some() {
            let lines = lines(format, &page.orders)?;
            window = next_window(&page, window);
            search = following(search, page);
            // The next page is on its way while this one is.
            let next = patient_page(&app, &search, window);
            ((), page) = try_join!(outlet.send(lines), next)?;
        }
        outlet.send(lines(format, &page.orders)?).await
    }
}

/// Where the next page is looked for; none is all that is left.
fn next_window(page: &Page, window: Option<Window>) -> Option<Window> {
    match is_full(page) {
        true => Window::after_page(&page.places),
        false => window.and_then(Window::wider),
    }
}

/// The search at the place after this page.
fn following(search: Cursor, mut page: Page) -> Cursor {
    Cursor {
        after: page.places.pop().unwrap_or(search.after),
        point_in_time: page.point_in_time,
        ..search
    }
}

/// A page, asked for again while search is away, for as long as a request may take.
async fn patient_page(
    app: &App,
    search: &Cursor,
    window: Option<Window>,
) -> Result<Page, BreakOff> {
    let limit = Duration::from_millis(app.settings.http.request_timeout_ms);
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE_FIRST;
    loop {
        let asked = timeout_at(deadline, page(app, search, window)).await;
        match asked.map_err(|_| BreakOff::Silent)? {
            Err(SearchError::Unavailable(_)) if Instant::now() + pause < deadline => {
                sleep(pause).await;
                pause = PAUSE_MAX.min(2 * pause);
            }
            answered => return Ok(answered?),
        }
    }
}

fn lines(format: ExportFormat, orders: &[FoundOrder]) -> io::Result<Bytes> {
    match format {
        ExportFormat::Csv => to_csv(orders),
        ExportFormat::NdJson => to_ndjson(orders),
    }
}
