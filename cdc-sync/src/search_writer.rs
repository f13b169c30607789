//! Writes documents to the index, one bulk in flight for each lane. While there is an index beside the
//! orders' own, every batch goes to both. Bulks get smaller while Elasticsearch puts them off.
//!
//! A batch is done when every document of it is written, known to be older than what is there, or
//! kept as a dead letter. Until then it is tried again, for as long as Elasticsearch is away; nothing
//! is skipped and the position does not move past it.

use crate::batch::DeadLetter;
use crate::bulk::{self, Outcome};
use crate::bulk_size::BulkSize;
use crate::error::{Definite, FollowError};
use crate::health::Health;
use crate::index::{beside_alias, dead_letter_index};
use crate::rendered_document::RenderedDocument;
use crate::search_client::{SearchClient, SearchError};
use crate::settings::FollowerSettings;
use crate::stream_position::Position;
use crate::targets::Targets;
use crate::trouble::{Sink, Trouble};
use futures_util::future::try_join_all;
use metrics::{counter, gauge, histogram};
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Fewer documents than this are not worth a bulk of their own.
const LANE_MIN: usize = 500;

/// Writes documents on behalf of one stream.
pub struct SearchWriter {
    client: SearchClient,
    settings: FollowerSettings,
    health: Health,
    targets: Targets,
    label: String,
    size: BulkSize,
}

/// What one attempt left to do.
#[derive(Default)]
struct Rest {
    again: Vec<Arc<RenderedDocument>>,
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
            size: BulkSize::new(settings.bulk_documents_max),
            client,
            settings,
            health,
            targets,
            label,
        }
    }

    /// Notes that everything up to this position is written.
    pub fn has_applied(&self, position: &Position) {
        self.targets.has_applied(&self.label, position);
    }

    /// Writes all of it to the index in use and, while there is one, to the index beside.
    pub async fn write_everywhere(
        &self,
        documents: Vec<Arc<RenderedDocument>>,
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
    async fn write_beside(&self, documents: Vec<Arc<RenderedDocument>>) {
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
        documents: Vec<Arc<RenderedDocument>>,
        dead_letters: Vec<DeadLetter>,
    ) -> Result<(), FollowError> {
        let mut trouble = Trouble::new(Sink::Search, &self.label, &self.settings, &self.health);
        self.keep(dead_letters, &mut trouble).await?;
        trouble.over();
        // An order has one document here at most, so that lanes cannot overtake each other.
        let lanes = self.settings.bulk_lanes.max(1);
        let mut documents = documents.into_iter();
        let share = documents.len().div_ceil(lanes).max(LANE_MIN);
        let lanes = std::iter::from_fn(|| {
            let lane: Vec<_> = documents.by_ref().take(share).collect();
            (!lane.is_empty()).then_some(lane)
        });
        try_join_all(lanes.map(|lane| self.write_lane(alias, lane))).await?;
        Ok(())
    }

    /// Writes these, one bulk at a time.
    async fn write_lane(
        &self,
        alias: &str,
        mut documents: Vec<Arc<RenderedDocument>>,
    ) -> Result<(), FollowError> {
        let mut trouble = Trouble::new(Sink::Search, &self.label, &self.settings, &self.health);
        while !documents.is_empty() {
            let later = documents.len().saturating_sub(self.size.now());
            let rest = self.attempt(alias, documents.split_off(later)).await?;
            self.keep(rest.rejected, &mut trouble).await?;
            if rest.again.is_empty() {
                self.size.taken();
                trouble.over();
            } else {
                self.size.put_off();
                documents.extend(rest.again);
                trouble.wait(&rest.cause).await;
            }
            gauge!("follower_bulk_documents_max", "stream" => self.label.clone())
                .set(self.size.now() as f64);
        }
        Ok(())
    }

    async fn attempt(
        &self,
        alias: &str,
        documents: Vec<Arc<RenderedDocument>>,
    ) -> Result<Rest, FollowError> {
        let body = bulk::encode(&documents);
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

    fn sort(
        &self,
        documents: Vec<Arc<RenderedDocument>>,
        outcomes: Vec<Outcome>,
    ) -> Result<Rest, FollowError> {
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
                Outcome::Rejected(reason) => rest.rejected.push(rejected(&document, reason)),
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

fn rejected(document: &RenderedDocument, reason: String) -> DeadLetter {
    let shown: Option<Value> = serde_json::from_slice(&document.json).ok();
    let shard = shown.as_ref().and_then(|shown| shown["shard"].as_str());
    DeadLetter {
        order_id: document.order_id,
        shard: shard.unwrap_or_default().to_owned(),
        version: document.version.to_string(),
        reason,
        failed_at: now(),
        document: shown,
    }
}

/// This machine's time, RFC 3339, for records that only people read.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrderId;
    use serde_json::json;

    #[test]
    fn what_is_rejected_is_kept_with_its_document_and_its_shard() {
        let json = json!({ "shard": "orders-1", "amount": 2933 });
        let document = RenderedDocument {
            order_id: OrderId::from_bytes([0xab; 16]),
            version: 2,
            status: "paid",
            tenant: "demo".into(),
            merchant: "shop".into(),
            updated_at: "2026-11-21T09:05:07.000042Z".into(),
            json: json.to_string().into_bytes().into(),
        };
        let letter = rejected(&document, "status 400".to_owned());
        assert_eq!(
            (letter.shard.as_str(), letter.version.as_str()),
            ("orders-1", "2")
        );
        assert_eq!(letter.document, Some(json));
    }
}
