//! Takes batch after batch to where changes go, the index and the topic of events, side by side, and
//! says what both have acknowledged.

use crate::batch::Batch;
use crate::error::FollowError;
use crate::event_publisher::EventPublisher;
use crate::search_writer::SearchWriter;
use crate::stream_position::Position;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// What was acknowledged.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Every transaction whose changes are all in the index and on the topic.
    pub position: Position,
    /// When documents were last acknowledged: a refresh that starts later makes all of them found.
    pub documents_at: Instant,
}

impl Applied {
    /// What is known before anything was sent: an earlier attempt may just have written documents.
    pub fn at(position: Position) -> Self {
        Self {
            position,
            documents_at: Instant::now(),
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
    /// Takes batches until the sender is gone, and tells `applied` of each.
    pub async fn run(
        &self,
        mut batches: mpsc::Receiver<Batch>,
        applied: &watch::Sender<Applied>,
    ) -> Result<(), FollowError> {
        while let Some(batch) = batches.recv().await {
            let changes = batch.changes();
            let (documents, dead_letters, transactions) = batch.into_parts();
            let has_documents = !documents.is_empty();
            let publish = async {
                match &self.publisher {
                    Some(publisher) => publisher.publish(&changes).await,
                    None => Ok(()),
                }
            };
            let write = self.writer.write_everywhere(documents, dead_letters);
            tokio::try_join!(write, publish)?;
            applied.send_modify(|applied| {
                applied.position.merge(&transactions);
                if has_documents {
                    applied.documents_at = Instant::now();
                }
                self.writer.has_applied(&applied.position);
            });
        }
        Ok(())
    }
}
