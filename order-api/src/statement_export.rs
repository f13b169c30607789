//! A statement as a file: CSV or NDJSON, read page by page from the ledger.
//!
//! Entries are numbered and never change, so one that broke off goes on after the number of its last
//! complete line.

use crate::auth::Identity;
use crate::export::{
    BreakOff, CsvLines, ExportFile, ExportFormat, Outlet, Place, respond, to_ndjson,
};
use crate::state::App;
use crate::statement_view::EntryView;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use std::io;
use std::time::Duration;
use store::{Statement, StatementEntry};
use tokio::time::timeout;

/// Entries in hand at once.
const PAGE: u32 = 1_000;

/// What is still to be sent.
struct Rest {
    app: App,
    caller: Identity,
    statement: Statement,
    format: ExportFormat,
    after: u64,
}

/// The entries of a statement after this number.
pub(crate) fn export(
    app: &App,
    place: Place,
    caller: Identity,
    statement: Statement,
    after: u64,
    format: ExportFormat,
) -> Response {
    let account = statement.account.id.to_string();
    let file = ExportFile {
        name: account.clone(),
        format,
        of: account,
    };
    let rest = Rest {
        app: app.clone(),
        caller,
        statement,
        format,
        after,
    };
    respond(app, place, file, |outlet| rest.send(outlet))
}

impl Rest {
    async fn send(mut self, outlet: Outlet) -> Result<(), BreakOff> {
        // Whoever goes on has the header already.
        if self.after == 0 && self.format == ExportFormat::Csv {
            outlet.send(csv_header()?).await?;
        }
        loop {
            let entries = self.page().await?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            self.after = last.number;
            outlet.send(self.lines(&entries)?).await?;
        }
    }

    async fn page(&self) -> Result<Vec<StatementEntry>, BreakOff> {
        let limit = Duration::from_millis(self.app.settings.http.request_timeout_ms);
        let accounts = &self.app.accounts;
        let page = accounts.statement_entries(&self.statement, self.after, PAGE);
        Ok(timeout(limit, page).await.map_err(|_| BreakOff::Silent)??)
    }

    fn lines(&self, entries: &[StatementEntry]) -> io::Result<Bytes> {
        let currency = &self.statement.account.currency.to_string();
        let entries = entries
            .iter()
            .map(|entry| EntryView::of(entry, &self.app, &self.caller));
        match self.format {
            ExportFormat::Csv => to_csv(entries, currency),
            ExportFormat::NdJson => to_ndjson(entries.map(|entry| Line { entry, currency })),
        }
    }
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: EntryView,
    currency: &'a str,
}

fn csv_header() -> io::Result<Bytes> {
    let mut lines = CsvLines::new();
    lines.add([
        "number",
        "booked_at",
        "kind",
        "of",
        "amount",
        "balance_after",
        "currency",
    ])?;
    lines.written()
}

fn to_csv(entries: impl Iterator<Item = EntryView>, currency: &str) -> io::Result<Bytes> {
    let mut lines = CsvLines::new();
    for entry in entries {
        lines.add([
            &entry.number.to_string(),
            &entry.booked_at,
            entry.kind,
            entry.of.as_deref().unwrap_or(""),
            &entry.amount.to_string(),
            &entry.balance_after.to_string(),
            currency,
        ])?;
    }
    lines.written()
}
