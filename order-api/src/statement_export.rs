//! A statement as a file: CSV or NDJSON, streamed page by page in flat memory.
//!
//! A task reads page after page while the client takes them. Where a store fails or does not answer,
//! the client takes nothing, or the service stops, the answer is broken off, so that nobody takes a
//! part for the whole; the number of the last complete line says where to go on.

use crate::auth::Identity;
use crate::problem::{Problem, ProblemKind};
use crate::state::App;
use crate::statement_view::EntryView;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::AccountId;
use futures_util::{Stream, stream};
use serde::Serialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use store::{Statement, StatementEntry, StoreError};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Entries in hand at once.
const PAGE: u32 = 1_000;

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// RFC 4180, with a header line.
    Csv,
    /// One JSON object a line.
    NdJson,
}

/// What goes from the task to the answer.
enum Part {
    Lines(Bytes),
    /// It is whole. Without this it is not.
    End,
}

/// Why an export ended before its end.
#[derive(Debug, thiserror::Error)]
enum BreakOff {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store does not answer")]
    StoreSilent,
    #[error("the client takes nothing")]
    Unread,
    #[error("the client hung up")]
    HungUp,
    #[error("it took too long")]
    TimeIsUp,
    #[error("a line cannot be written: {0}")]
    Line(#[from] io::Error),
}

impl BreakOff {
    fn tell(&self, account: AccountId) {
        match self {
            Self::HungUp => {
                tracing::debug!(account.id = %account, "An export was not wanted to its end.");
            }
            Self::Store(StoreError::Transient { .. })
            | Self::StoreSilent
            | Self::Unread
            | Self::TimeIsUp => {
                tracing::warn!(account.id = %account, cause = %self, "An export broke off.");
            }
            Self::Store(_) | Self::Line(_) => {
                tracing::error!(account.id = %account, cause = %self, "An export broke off.");
            }
        }
    }
}

/// What is still to be sent.
struct Rest {
    app: App,
    caller: Identity,
    statement: Statement,
    format: ExportFormat,
    after: u64,
    parts: mpsc::Sender<Part>,
}

/// The entries of a statement after this number.
pub(crate) fn export(
    app: App,
    caller: Identity,
    statement: Statement,
    after: u64,
    format: ExportFormat,
) -> Result<Response, Problem> {
    let place = Arc::clone(&app.exports).try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::new(ProblemKind::Overloaded, "too many exports are under way").retry_after_s(10)
    })?;
    let (content_type, ending) = match format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "csv"),
        ExportFormat::NdJson => ("application/x-ndjson", "ndjson"),
    };
    let name = format!("attachment; filename=\"{}.{ending}\"", statement.account.id);
    let (parts, sent) = mpsc::channel(1);
    let rest = Rest {
        app: app.clone(),
        caller,
        statement,
        format,
        after,
        parts,
    };
    tokio::spawn(async move {
        let account = rest.statement.account.id;
        let sent = app.stopping.run_until_cancelled(rest.send_in_time());
        if let Some(Err(cause)) = sent.await {
            cause.tell(account);
        }
        drop(place);
    });
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(lines(sent))).into_response())
}

/// The lines as they come; an error where they break off.
fn lines(parts: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(parts, async |mut parts| match parts.recv().await {
        Some(Part::Lines(lines)) => Ok(Some((lines, parts))),
        Some(Part::End) => Ok(None),
        None => Err(io::Error::other("the export broke off")),
    })
}

impl Rest {
    async fn send_in_time(self) -> Result<(), BreakOff> {
        let limit = Duration::from_millis(self.app.settings.http.export_timeout_ms);
        let sent = timeout(limit, self.send()).await;
        sent.unwrap_or(Err(BreakOff::TimeIsUp))
    }

    async fn send(mut self) -> Result<(), BreakOff> {
        // Whoever goes on has the header already.
        if self.after == 0 && self.format == ExportFormat::Csv {
            self.hand_over(Part::Lines(csv_header()?)).await?;
        }
        loop {
            let entries = self.page().await?;
            let Some(last) = entries.last() else {
                return self.hand_over(Part::End).await;
            };
            self.after = last.number;
            let lines = self.lines(&entries)?;
            self.hand_over(Part::Lines(lines)).await?;
        }
    }

    async fn page(&self) -> Result<Vec<StatementEntry>, BreakOff> {
        let limit = Duration::from_millis(self.app.settings.http.request_timeout_ms);
        let accounts = &self.app.accounts;
        let page = accounts.statement_entries(&self.statement, self.after, PAGE);
        Ok(timeout(limit, page)
            .await
            .map_err(|_| BreakOff::StoreSilent)??)
    }

    async fn hand_over(&self, part: Part) -> Result<(), BreakOff> {
        let limit = Duration::from_millis(self.app.settings.http.unread_timeout_ms.into());
        let sent = timeout(limit, self.parts.send(part)).await;
        sent.map_err(|_| BreakOff::Unread)?
            .map_err(|_| BreakOff::HungUp)
    }

    fn lines(&self, entries: &[StatementEntry]) -> io::Result<Bytes> {
        let currency = self.statement.account.currency.to_string();
        let entries = entries
            .iter()
            .map(|entry| EntryView::of(entry, &self.app, &self.caller));
        match self.format {
            ExportFormat::Csv => to_csv(entries, &currency),
            ExportFormat::NdJson => to_ndjson(entries, &currency),
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

fn to_ndjson(entries: impl Iterator<Item = EntryView>, currency: &str) -> io::Result<Bytes> {
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, &Line { entry, currency })?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

fn csv_header() -> io::Result<Bytes> {
    let mut lines = csv_writer();
    lines.write_record([
        "number",
        "booked_at",
        "kind",
        "of",
        "amount",
        "balance_after",
        "currency",
    ])?;
    written(lines)
}

fn to_csv(entries: impl Iterator<Item = EntryView>, currency: &str) -> io::Result<Bytes> {
    let mut lines = csv_writer();
    for entry in entries {
        lines.write_record([
            &entry.number.to_string(),
            &entry.booked_at,
            entry.kind,
            entry.of.as_deref().unwrap_or(""),
            &entry.amount.to_string(),
            &entry.balance_after.to_string(),
            currency,
        ])?;
    }
    written(lines)
}

fn csv_writer() -> csv::Writer<Vec<u8>> {
    let mut builder = csv::WriterBuilder::new();
    builder.terminator(csv::Terminator::CRLF);
    builder.from_writer(Vec::new())
}

fn written(lines: csv::Writer<Vec<u8>>) -> io::Result<Bytes> {
    let lines = lines.into_inner().map_err(|error| error.into_error())?;
    Ok(lines.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    async fn taken(parts: Vec<Part>) -> Vec<Result<Bytes, String>> {
        let (sender, sent) = mpsc::channel(parts.len());
        for part in parts {
            sender.send(part).await.ok().unwrap();
        }
        drop(sender);
        let lines = lines(sent).map(|part| part.map_err(|error| error.to_string()));
        lines.collect().await
    }

    #[tokio::test]
    async fn only_what_was_ended_is_whole() {
        let line = || Part::Lines("1\n".into());
        let whole = taken(vec![line(), Part::End]).await;
        assert_eq!(whole, [Ok("1\n".into())]);
        let part = taken(vec![line()]).await;
        assert_eq!(part.len(), 2);
        assert!(part[1].is_err(), "{part:?}");
    }
}
