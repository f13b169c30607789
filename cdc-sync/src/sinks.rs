//! Takes batch after batch to where changes go, the index and the topic of events, side by side, and
//! says what both have acknowledged.
//!
//! The next batch is asked for when the one before is acknowledged: until then the reader goes on
//! folding into it, and there are never more than these two.

use crate::batch::Batch;
use crate::error::FollowError;
use crate::event_publisher::EventPublisher;
use crate::search_writer::SearchWriter;
use crate::stream_position::Position;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// A request for the next batch, by who is free to take it.
pub type Ask = oneshot::Sender<Departure>;

/// A batch that was handed on.
#[derive(Debug)]
pub struct Departure {
    /// It; at a tick of the refresher it may be empty.
    pub batch: Batch,
    /// When: what was read before is in it or in an earlier one, but for transactions that have not ended.
    pub at: Instant,
}

impl Departure {
    /// Hands it on now.
    pub fn now(batch: Batch) -> Self {
        Self {
            batch,
            at: Instant::now(),
        }
    }
}

/// What was acknowledged.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Every transaction whose changes are all in the index and on the topic.
    pub position: Position,
    /// When documents were last acknowledged: a refresh that starts later makes all of them found.
    pub documents_at: Instant,
    /// Every transaction that was read to its end before this instant is acknowledged.
    pub read_until: Instant,
}

impl Applied {
    /// What is known before anything was sent: an earlier attempt may just have written documents.
    pub fn at(position: Position) -> Self {
        let now = Instant::now();
        Self {
            position,
            documents_at: now,
            read_until: now,
        }
    }
}

/// Where the changes of one stream go.
pub struct Sinks {
    /// The index.
    pub writer: SearchWriter,
    /// The topic of events, unless events are switched off.
    pub publisher: Option<EventPublisher>,
}

impl Sinks {
    /// Asks for batches until nobody answers any more, and tells `applied` of each.
    pub async fn run(
        &self,
        asks: mpsc::Sender<Ask>,
        applied: &watch::Sender<Applied>,
    ) -> Result<(), FollowError> {
        loop {
            let (ask, answer) = oneshot::channel();
            if asks.send(ask).await.is_err() {
                return Ok(());
            }
            let Ok(Departure { batch, at }) = answer.await else {
                return Ok(());
            };
            let has_documents = batch.has_documents();
            let transactions = self.take(batch).await?;
            applied.send_modify(|applied| {
                applied.position.merge(&transactions);
                applied.read_until = at;
                if has_documents {
                    applied.documents_at = Instant::now();
                }
                self.writer.has_applied(&applied.position);
            });
        }
    }

    /// Takes one batch to where changes go; once all of it is acknowledged, answers the transactions that
    /// it completes.
    pub async fn take(&self, mut batch: Batch) -> Result<Position, FollowError> {
        let changes = batch.take_changes();
        let (documents, dead_letters, transactions) = batch.into_parts();
        let publish = async {
            if let Some(publisher) = &self.publisher {
                publisher.publish(&changes).await;
            }
            Ok(())
        };
        let write = self.writer.write_everywhere(documents, dead_letters);
        tokio::try_join!(write, publish)?;
        Ok(transactions)
    }
}
