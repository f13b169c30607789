//! Writes batches to the index, one bulk in flight, and says what is acknowledged. While there is an
//! index beside the orders' own, every batch goes to both.
//!
//! A batch is done when every document of it is written, known to be older than what is there, or
//! kept as a dead letter. Until then it is tried again, for as long as Elasticsearch is away; nothing
//! is skipped and the position does not move past it.

use crate::batch::{Batch, DeadLetter};
use crate::bulk::{self, Outcome};
use crate::document::Document;
use crate::error::{Definite, FollowError};
use crate::gtid_set::GtidSet;
use crate::health::Health;
use crate::index::{beside_alias, dead_letter_index};
use crate::search_client::{SearchClient, SearchError};
use crate::settings::FollowerSettings;
use crate::targets::Targets;
use metrics::{counter, histogram};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// What the index has acknowledged.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Every transaction whose documents are all in the index.
    pub position: GtidSet,
    /// When documents were last acknowledged: a refresh that starts later makes all of them found.
    pub documents_at: Instant,
}

impl Applied {
    /// What is known before anything was sent: an earlier attempt may just have written documents.
    pub fn at(position: GtidSet) -> Self {
        Self {
            position,
            documents_at: Instant::now(),
        }
    }
}

/// Writes documents on behalf of one stream.
pub struct SearchWriter {
    client: SearchClient,
    settings: FollowerSettings,
    health: Health,
    targets: Targets,
    label: String,
}

/// What one attempt left to do.
#[derive(Default)]
struct Rest {
    again: Vec<Document>,
    cause: String,
    rejected: Vec<DeadLetter>,
}

impl SearchWriter {
    /// A writer for the stream of this label.
    pub fn new(
        client: SearchClient,
        settings: FollowerSettings,
        health: Health,
        targets: Targets,
        label: String,
    ) -> Self {
        Self {
            client,
            settings,
            health,
            targets,
            label,
        }
    }

    /// Writes batch after batch until the sender is gone, and tells `applied` of each.
    pub async fn run(
        &self,
        mut batches: mpsc::Receiver<Batch>,
        applied: &watch::Sender<Applied>,
    ) -> Result<(), FollowError> {
        while let Some(batch) = batches.recv().await {
            let (documents, dead_letters, transactions) = batch.into_parts();
            let has_documents = !documents.is_empty();
            self.write_everywhere(documents, dead_letters).await?;
            applied.send_modify(|applied| {
                applied.position.merge(&transactions);
                if has_documents {
                    applied.documents_at = Instant::now();
                }
                self.targets.has_applied(&self.label, &applied.position);
            });
        }
        Ok(())
    }

    async fn write_everywhere(
        &self,
        documents: Vec<Document>,
        dead_letters: Vec<DeadLetter>,
    ) -> Result<(), FollowError> {
        let is_two = self.targets.writing().await;
        let names = self.client.names();
        if !*is_two {
            return self.write(&names.alias, documents, dead_letters).await;
        }
        let own = documents.clone();
        let (written, ()) = tokio::join!(
            self.write(&names.alias, own, dead_letters),
            self.write_beside(documents),
        );
        written
    }

    /// Writes to the index beside, until that is written off: it never holds up the one in use longer
    /// than it takes to write down that it is given up.
    async fn write_beside(&self, documents: Vec<Document>) {
        let written_off = self.targets.written_off();
        let beside = beside_alias(self.client.names());
        tokio::select! {
            written = self.write(&beside, documents, Vec::new()) => {
                if let Err(error) = written {
                    self.targets.beside_fails(error.to_string());
                    written_off.cancelled().await;
                }
            }
            () = written_off.cancelled() => {}
        }
    }

    /// Writes all of it to what this alias names, however long that takes.
    pub async fn write(
        &self,
        alias: &str,
        mut documents: Vec<Document>,
        dead_letters: Vec<DeadLetter>,
    ) -> Result<(), FollowError> {
        let mut trouble = Trouble::new(self);
        self.keep(dead_letters, &mut trouble).await?;
        while !documents.is_empty() {
            let rest = self.attempt(alias, documents).await?;
            self.keep(rest.rejected, &mut trouble).await?;
            documents = rest.again;
            if documents.is_empty() {
                trouble.over();
            } else {
                trouble.wait(&rest.cause).await;
            }
        }
        Ok(())
    }

    async fn attempt(&self, alias: &str, documents: Vec<Document>) -> Result<Rest, FollowError> {
        let body = bulk::encode(&documents).map_err(|e| Definite::Search(e.to_string()))?;
        let started = Instant::now();
        let answer = self.client.bulk(&bulk::path(alias), body).await;
        histogram!("follower_bulk_seconds", "stream" => self.label.clone())
            .record(started.elapsed().as_secs_f64());
        let outcomes = match answer {
            Ok(answer) => bulk::outcomes(&answer, documents.len()).map_err(|e| e.to_string()),
            Err(SearchError::Transient(cause)) => Err(cause),
            Err(error @ SearchError::Definite(_)) => return Err(error.into()),
        };
        match outcomes {
            Ok(outcomes) => self.sort(documents, outcomes),
            Err(cause) => Ok(Rest {
                again: documents,
                cause,
                ..Rest::default()
            }),
        }
    }

    fn sort(&self, documents: Vec<Document>, outcomes: Vec<Outcome>) -> Result<Rest, FollowError> {
        let mut rest = Rest::default();
        let (mut written, mut newer) = (0, 0);
        for (document, outcome) in documents.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Written => written += 1,
                Outcome::Newer => newer += 1,
                Outcome::Transient(cause) => {
                    rest.cause = cause;
                    rest.again.push(document);
                }
                Outcome::Rejected(reason) => rest.rejected.push(rejected(document, reason)),
                Outcome::Fatal(cause) => return Err(Definite::Search(cause).into()),
            }
        }
        counter!("follower_documents_total", "stream" => self.label.clone()).increment(written);
        counter!("follower_documents_older_total", "stream" => self.label.clone()).increment(newer);
        Ok(rest)
    }

    /// Keeps dead letters; they count as written only once they are acknowledged.
    async fn keep(
        &self,
        letters: Vec<DeadLetter>,
        trouble: &mut Trouble<'_>,
    ) -> Result<(), FollowError> {
        if letters.is_empty() {
            return Ok(());
        }
        for letter in &letters {
            tracing::error!(order.id = %letter.order_id, version = letter.version,
                reason = letter.reason, "A change cannot be searched; it is kept as a dead letter.");
        }
        counter!("follower_dead_letters_total", "stream" => self.label.clone())
            .increment(letters.len() as u64);
        let path = bulk::index_path(&dead_letter_index(self.client.names()));
        let body =
            bulk::encode_dead_letters(&letters).map_err(|e| Definite::Search(e.to_string()))?;
        loop {
            let answer = self.client.bulk(&path, body.clone()).await;
            match answer.and_then(|answer| bulk::ensure_written(&answer, letters.len())) {
                Ok(()) => return Ok(()),
                Err(SearchError::Transient(cause)) => trouble.wait(&cause).await,
                Err(SearchError::Definite(cause)) => {
                    return Err(Definite::Search(format!("a dead letter: {cause}")).into());
                }
            }
        }
    }
}

fn rejected(document: Document, reason: String) -> DeadLetter {
    DeadLetter {
        order_id: document.order_id,
        shard: document.shard.clone(),
        version: document.version.to_string(),
        reason,
        failed_at: now(),
        document: serde_json::to_value(document).ok(),
    }
}

/// This machine's time, RFC 3339, for records that only people read.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// A batch's time without acknowledgement: says it once, waits longer each time, and says when it is over.
struct Trouble<'a> {
    writer: &'a SearchWriter,
    delays: backon::ExponentialBackoff,
    since: Option<Instant>,
    stalled: bool,
}

impl<'a> Trouble<'a> {
    fn new(writer: &'a SearchWriter) -> Self {
        Self {
            delays: writer.settings.backoff(),
            writer,
            since: None,
            stalled: false,
        }
    }

    async fn wait(&mut self, cause: &str) {
        let since = *self.since.get_or_insert_with(|| {
            tracing::warn!(
                stream = self.writer.label,
                cause,
                "Elasticsearch does not take the documents; the follower waits at its position."
            );
            Instant::now()
        });
        counter!("follower_bulk_retries_total", "stream" => self.writer.label.clone()).increment(1);
        let stall_after = Duration::from_millis(self.writer.settings.stall_after_ms);
        if since.elapsed() >= stall_after && !self.stalled {
            self.stalled = true;
            tracing::error!(
                stream = self.writer.label,
                cause,
                seconds = since.elapsed().as_secs(),
                "The follower is stalled: nothing was acknowledged for too long."
            );
        }
        self.writer.health.search(Err(cause.to_owned()));
        let longest = Duration::from_millis(self.writer.settings.backoff_max_ms);
        tokio::time::sleep(self.delays.next().unwrap_or(longest)).await;
    }

    fn over(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        self.writer.health.search(Ok(()));
        tracing::info!(
            stream = self.writer.label,
            seconds = since.elapsed().as_secs_f64(),
            "Elasticsearch takes documents again."
        );
    }
}
