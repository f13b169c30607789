//! Follows one server's binlog: from its stream of events to batches of documents.
//!
//! The way of one change: the server sends the transaction it belongs to; [`Assembler`] checks each
//! event and knows which rows are ours; a changed row becomes a document; documents gather in a
//! [`Batch`], the newest version of each order only; a batch goes to the writer as soon as the
//! writer asks for one and the batch is full or has waited its time, or it is time for a refresh, which is to
//! cover it. Reading goes on meanwhile, until the batch is full: it and the one that is being written are all
//! that is ever held in memory.
//!
//! The rows of a transaction wait for its end ([`OpenTransaction`]), since only then they are facts.
//!
//! A batch carries the ids of the transactions that end in it. A large transaction may reach the index
//! in several batches, but its id goes with the last one, so the position never moves into the middle
//! of a transaction. What a lost connection or a kill interrupts is read again and written again; the
//! version of each row makes that harmless.

use crate::batch::{Batch, DeadLetter};
use crate::changes::{Change, changes};
use crate::document::document;
use crate::dump::stream_error;
use crate::error::{FollowError, Transient};
use crate::health::Health;
use crate::open_transaction::OpenTransaction;
use crate::refresher::Refresher;
use crate::rendered_document::RenderedDocument;
use crate::rows::OrderRow;
use crate::search_writer::now;
use crate::session::Session;
use crate::settings::FollowerSettings;
use crate::sinks::{Ask, Departure};
use crate::source::Server;
use crate::table::OrdersTable;
use crate::transaction::{Assembler, Step};
use domain::OrderId;
use futures_util::StreamExt;
use metrics::counter;
use mysql_async::BinlogStream;
use mysql_async::binlog::events::Event;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Reads one stream.
pub struct Reader<'a> {
    server: &'a Server,
    settings: &'a FollowerSettings,
    health: &'a Health,
    refresher: &'a Refresher,
    assembler: Assembler,
    open: OpenTransaction,
    batch: Batch,
    /// When the oldest change of the batch has waited long enough, or a refresh is to cover it.
    due: Instant,
    last_heard: Instant,
    is_open: bool,
}

impl<'a> Reader<'a> {
    /// At the beginning of a new stream from this server.
    pub fn new(session: &Session<'a>) -> Self {
        let server = session.server;
        Self {
            server,
            settings: &session.settings.follower,
            health: session.health,
            refresher: session.refresher,
            is_open: false,
            assembler: Assembler::new(server.shards.clone()),
            open: OpenTransaction::default(),
            batch: Batch::default(),
            due: session.refresher.next_tick().into(),
            last_heard: Instant::now(),
        }
    }

    /// Reads until `stop`, or until the stream ends for the reason answered. What was read before is
    /// handed on in either case.
    pub async fn run(
        mut self,
        stream: &mut BinlogStream,
        mut asks: mpsc::Receiver<Ask>,
        stop: &CancellationToken,
    ) -> Result<(), FollowError> {
        let ended = self.read(stream, &mut asks, stop).await;
        // The writer is gone only when it has failed, which is told there.
        if !self.batch.is_empty()
            && let Some(ask) = asks.recv().await
        {
            let _ = ask.send(Departure::now(self.batch));
        }
        ended
    }

    async fn read(
        &mut self,
        stream: &mut BinlogStream,
        asks: &mut mpsc::Receiver<Ask>,
        stop: &CancellationToken,
    ) -> Result<(), FollowError> {
        loop {
            let now = Instant::now();
            let is_full = self.is_full();
            let is_due = is_full || self.due <= now;
            let silent_at = self.last_heard + self.settings.silence();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                ask = asks.recv(), if is_due => {
                    let Some(ask) = ask else { return Ok(()) };
                    if ask.send(Departure::now(self.take_batch())).is_err() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(self.due), if !is_due => {}
                event = tokio::time::timeout_at(silent_at, stream.next()), if !is_full => {
                    let event = self.received(event)?;
                    self.accept(&event)?;
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        let settings = self.settings;
        self.batch
            .is_full(settings.batch_documents_max, settings.batch_bytes_max)
    }

    /// While the batch was full nobody listened, so silence counts anew.
    fn take_batch(&mut self) -> Batch {
        if self.is_full() {
            self.last_heard = Instant::now();
        }
        self.due = self.refresher.next_tick().into();
        std::mem::take(&mut self.batch)
    }

    fn received(
        &mut self,
        event: Result<Option<Result<Event, mysql_async::Error>>, tokio::time::error::Elapsed>,
    ) -> Result<Event, FollowError> {
        match event {
            Ok(Some(Ok(event))) => {
                self.last_heard = Instant::now();
                self.opened();
                Ok(event)
            }
            Ok(Some(Err(error))) => Err(stream_error(error, self.server.server_id)),
            Ok(None) => Err(Transient::Ended.into()),
            Err(_) => Err(Transient::Silent {
                ms: self.settings.silence().as_millis(),
            }
            .into()),
        }
    }

    /// A refusal to stream comes in place of the first event, so that one means success.
    fn opened(&mut self) {
        if !self.is_open {
            self.is_open = true;
            self.health.stream(&self.server.label, Ok(()));
            tracing::info!(
                stream = self.server.label,
                address = self.server.address,
                server_id = self.server.server_id,
                "The server is followed."
            );
        }
    }

    fn accept(&mut self, event: &Event) -> Result<(), FollowError> {
        counter!("follower_events_total", "stream" => self.server.label.clone()).increment(1);
        let was_empty = self.batch.is_empty();
        match self.assembler.accept(event)? {
            Step::Nothing => return Ok(()),
            Step::Rows(table) => self.rows(event, &table)?,
            Step::Completed(id) => {
                self.open.complete(&mut self.batch);
                self.batch.complete(id);
            }
            Step::Undone(id) => {
                self.open.undo()?;
                self.batch.complete(id);
            }
            Step::Interrupted(id) => {
                self.open.undo()?;
                tracing::warn!(
                    stream = self.server.label,
                    transaction = %id,
                    "The server died while it wrote a transaction, which it took back; it is passed over."
                );
                return Ok(());
            }
            Step::Savepoint(name) => self.open.set_savepoint(name),
            Step::UndoneTo(name) => self.open.undo_to_savepoint(&name)?,
            Step::Removed(statement, id) => {
                tracing::error!(
                    stream = self.server.label,
                    statement,
                    "Orders were removed by a statement; their documents stay in the index, and \
                     `holdfast reconcile` names them."
                );
                let Some(id) = id else { return Ok(()) };
                self.open.complete(&mut self.batch);
                self.batch.complete(id);
            }
        }
        if was_empty && !self.batch.is_empty() {
            let linger = Duration::from_millis(self.settings.bulk_linger_ms);
            self.due = self.due.min(Instant::now() + linger);
        }
        Ok(())
    }

    fn rows(&mut self, event: &Event, table: &Arc<OrdersTable>) -> Result<(), FollowError> {
        let mut invisible = 0;
        for change in changes(event, table)? {
            match change {
                Change::Visible(row) => self.open.add_row(row, table),
                Change::Invisible => invisible += 1,
                Change::Deleted { id, version } => {
                    let reason = "the row was deleted in the store; the document stays";
                    let letter = dead_letter(id, version, &table.shard, reason);
                    self.open.add_dead_letter(letter);
                }
            }
        }
        self.open.let_out_if_large(&mut self.batch);
        counter!("follower_rows_invisible_total", "stream" => self.server.label.clone())
            .increment(invisible);
        Ok(())
    }
}

/// Adds a row as its document, or as a dead letter if it cannot be one.
pub fn add_row(batch: &mut Batch, row: OrderRow, shard: &str) {
    let (id, version) = (row.id, row.version);
    let rendered = document(row, shard).map_err(|error| error.to_string());
    let rendered = rendered.and_then(|document| {
        RenderedDocument::try_from(document).map_err(|error| error.to_string())
    });
    match rendered {
        Ok(document) => batch.add(document),
        Err(reason) => batch.add_dead_letter(dead_letter(id, version, shard, &reason)),
    }
}

fn dead_letter(id: [u8; 16], version: u64, shard: &str, reason: &str) -> DeadLetter {
    DeadLetter {
        order_id: OrderId::from_bytes(id),
        shard: shard.to_owned(),
        version: version.to_string(),
        reason: reason.to_owned(),
        failed_at: now(),
        document: None,
    }
}
