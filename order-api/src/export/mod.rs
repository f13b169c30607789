//! An export: an answer of any size, streamed in flat memory, and whole or seen to be broken.
//!
//! A task writes lines while the client takes them, and says when it has written the last one. Where it
//! cannot go on, the client takes nothing, or the service stops, the answer is broken off without its
//! end, which HTTP/1.1 and HTTP/2 tell from a whole one: nobody takes a part for the whole.

mod break_off;
mod csv;

pub(crate) use self::break_off::BreakOff;
pub(crate) use self::csv::{CsvLines, text_cell};

use crate::problem::{Problem, ProblemKind};
use crate::state::App;
use axum::body::Body;
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

const FORMATS: &str = "must be json, csv or ndjson";
/// When a place may have become free.
const RETRY_AFTER_S: u64 = 10;

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// RFC 4180, with a header line.
    Csv,
    /// One JSON object a line.
    NdJson,
}

impl ExportFormat {
    /// What `format` asks for; none is `json`, which is no export.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, String> {
        match text {
            "json" => Ok(None),
            "csv" => Ok(Some(Self::Csv)),
            "ndjson" => Ok(Some(Self::NdJson)),
            _ => Err(FORMATS.to_owned()),
        }
    }

    /// As `format` asks for it.
    pub(crate) const fn as_str(self) -> &'static str {
        self.ending()
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::NdJson => "application/x-ndjson",
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::NdJson => "ndjson",
        }
    }
}

/// Refuses a protocol that cannot tell a whole export from a part of one.
pub(crate) fn require_an_end(version: Version) -> Result<(), Problem> {
    if version < Version::HTTP_11 {
        let detail = "needs HTTP/1.1 or newer, which tells a whole export from a part of one";
        return Err(Problem::parameter("format", detail));
    }
    Ok(())
}

/// A place among the exports under way; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

impl Place {
    /// Takes a place, or refuses the export.
    pub(crate) fn take(app: &App) -> Result<Self, Problem> {
        let permit = Arc::clone(&app.exports).try_acquire_owned();
        permit.map(Self).map_err(|_| {
            let detail = "too many exports are under way";
            Problem::new(ProblemKind::Overloaded, detail).retry_after_s(RETRY_AFTER_S)
        })
    }
}

/// The file that the client saves.
#[derive(Debug)]
pub(crate) struct ExportFile {
    /// Its name, up to the format's ending: letters, digits, `-` and `_`.
    pub(crate) name: String,
    pub(crate) format: ExportFormat,
    /// Whose it is, for the log.
    pub(crate) of: String,
}

/// What goes from the task to the answer.
enum Part {
    Lines(Bytes),
    /// It is whole. Without this it is not.
    End,
}

/// Where an export's lines go.
#[derive(Clone)]
pub(crate) struct Outlet {
    parts: mpsc::Sender<Part>,
    unread_timeout: Duration,
}

impl Outlet {
    /// Hands lines over; waits, within bounds, until the client has taken those before them.
    pub(crate) async fn send(&self, lines: Bytes) -> Result<(), BreakOff> {
        if lines.is_empty() {
            return Ok(());
        }
        self.hand_over(Part::Lines(lines)).await
    }

    async fn hand_over(&self, part: Part) -> Result<(), BreakOff> {
        let sent = timeout(self.unread_timeout, self.parts.send(part)).await;
        sent.map_err(|_| BreakOff::Unread)?
            .map_err(|_| BreakOff::HungUp)
    }

    /// Runs `work` to its end and ends the answer, as long as somebody is there to take it.
    async fn finish(
        self,
        work: impl Future<Output = Result<(), BreakOff>>,
    ) -> Result<(), BreakOff> {
        let whole = async {
            work.await?;
            self.hand_over(Part::End).await
        };
        tokio::select! {
            // The end, once taken, looks like hanging up.
            biased;
            written = whole => written,
            () = self.parts.closed() => Err(BreakOff::HungUp),
        }
    }
}

/// The answer with all that `write` sends to its outlet. It is whole if that ends well.
pub(crate) fn respond<F>(
    app: &App,
    place: Place,
    file: ExportFile,
    write: impl FnOnce(Outlet) -> F,
) -> Response
where
    F: Future<Output = Result<(), BreakOff>> + Send + 'static,
{
    let http = &app.settings.http;
    let (parts, sent) = mpsc::channel(1);
    let outlet = Outlet {
        parts,
        unread_timeout: Duration::from_millis(http.unread_timeout_ms.into()),
    };
    let limit = Duration::from_millis(http.export_timeout_ms);
    let written = timeout(limit, outlet.clone().finish(write(outlet)));
    let app = app.clone();
    let (name, format) = (file.name, file.format);
    tokio::spawn(async move {
        let written = app.stopping.run_until_cancelled(written).await;
        if let Some(Err(cause)) = written.map(|w| w.unwrap_or(Err(BreakOff::TimeIsUp))) {
            cause.tell(&file.of);
        }
        drop(place);
    });
    let name = format!("attachment; filename=\"{name}.{}\"", format.ending());
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::from_stream(lines(sent))).into_response()
}

/// The lines as they come; an error where they break off.
fn lines(parts: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(parts, async |mut parts| match parts.recv().await {
        Some(Part::Lines(lines)) => Ok(Some((lines, parts))),
        Some(Part::End) => Ok(None),
        None => Err(io::Error::other("the export broke off")),
    })
}

/// Rows as NDJSON, never altered.
pub(crate) fn to_ndjson<T: serde::Serialize>(
    rows: impl IntoIterator<Item = T>,
) -> io::Result<Bytes> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, &row)?;
        lines.push(b'\n');
    }
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

    fn outlet() -> (Outlet, mpsc::Receiver<Part>) {
        let (parts, sent) = mpsc::channel(1);
        let unread_timeout = Duration::from_millis(50);
        (
            Outlet {
                parts,
                unread_timeout,
            },
            sent,
        )
    }

    #[tokio::test]
    async fn work_that_ends_well_ends_the_answer_and_no_other() {
        let (outlet, sent) = outlet();
        outlet.finish(async { Ok(()) }).await.unwrap();
        assert!(lines(sent).collect::<Vec<_>>().await.is_empty());
        let (outlet, sent) = self::outlet();
        outlet
            .finish(async { Err(BreakOff::Silent) })
            .await
            .unwrap_err();
        assert!(lines(sent).collect::<Vec<_>>().await[0].is_err());
    }

    #[tokio::test]
    async fn who_hangs_up_ends_the_work_at_once_and_who_takes_nothing_in_time() {
        let (outlet, sent) = outlet();
        drop(sent);
        let cause = outlet.finish(std::future::pending()).await.unwrap_err();
        assert!(matches!(cause, BreakOff::HungUp), "{cause}");
        let (outlet, sent) = self::outlet();
        let writing = outlet.clone();
        let work = async move {
            writing.send("1\n".into()).await?;
            writing.send("2\n".into()).await
        };
        let cause = outlet.finish(work).await.unwrap_err();
        assert!(matches!(cause, BreakOff::Unread), "{cause}");
        drop(sent);
    }
}
