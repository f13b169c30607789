//! The worker: one loop over everything that happens.
//!
//! It drains what is there, decodes it, runs it in batches, wakes whoever waits and commits
//! offsets. A change of the assignment is a message in the same loop. What may take long runs
//! elsewhere and comes back as a message: batches ([`Batches`]), dead letters ([`Burials`]), records
//! that go to the retry topic ([`Moves`]). What comes in stands in `intake.rs`, what is done with a
//! batch's answers in `settle.rs`, which way a record goes in `diversion.rs`, commits and
//! revocations in `handover.rs`.
//!
//! An offset is committed once its record's outcome is in a database, or the record is an
//! acknowledged dead letter or stands on the retry topic. Orders whose log shard cannot be reached
//! are parked, for a while in memory and then on the retry topic: they hold nothing else back.

use crate::batches::{Batch, Batches, Engine, Lane, Work};
use crate::burials::Burials;
use crate::dead_letters::DeadLetters;
use crate::handover::Revocation;
use crate::meters;
use crate::moves::Moves;
use crate::pace::Pace;
use crate::parked::ParkedOrders;
use crate::partitions::Partitions;
use crate::record::Place;
use crate::retry_stream::RetryStream;
use crate::retry_topic::RetryTopic;
use crate::settings::WorkerSettings;
use crate::stream::Stream;
use crate::wake::Waker;
use saga::ShardId;
use saga::faults::Faults;
use service::admin::Readiness;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Routing;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// What a worker is made of.
pub struct WorkerParts {
    /// The events of its group membership.
    pub stream: Stream,
    /// What comes back from the retry topic.
    pub retry: RetryStream,
    /// Takes the records that wait for their order shard.
    pub retry_topic: RetryTopic,
    /// Runs the batches.
    pub engine: Arc<Engine>,
    /// Which shard an order's log row lives on.
    pub routing: Arc<Routing>,
    /// Takes the records that cannot be processed.
    pub dead_letters: DeadLetters,
    /// Wakes those who wait.
    pub waker: Waker,
    /// Told how it stands with Kafka, as `kafka`.
    pub readiness: Readiness,
}

/// One member of the consumer group.
pub struct Worker {
    pub(crate) stream: Stream,
    pub(crate) retry: RetryStream,
    pub(crate) routing: Arc<Routing>,
    pub(crate) waker: Waker,
    pub(crate) readiness: Readiness,
    pub(crate) settings: WorkerSettings,
    pub(crate) partitions: Partitions<Work>,
    pub(crate) parked: ParkedOrders<Work>,
    /// Room for what is parked, beside the room for what is in hand.
    pub(crate) parking: Arc<Semaphore>,
    /// Records of a newer schema: they hold their offset until a newer consumer takes over.
    pub(crate) newer: Vec<(Place, OwnedSemaphorePermit)>,
    batches: Batches,
    pace: Pace,
    /// Until when what waits is held back, if anything does.
    held_until: Option<Instant>,
    pub(crate) burials: Burials,
    pub(crate) moves: Moves,
    /// When it was last looked for parked works to move.
    pub(crate) moved_at: Instant,
    /// What was said when a shard was last tried in vain.
    pub(crate) shard_causes: BTreeMap<ShardId, String>,
    /// The shards whose records take the detour, as far as the logs tell.
    pub(crate) detoured: BTreeSet<ShardId>,
    pub(crate) measured_at: Instant,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) commit_at: Option<Instant>,
    /// When all commits on the retry topic were last made again.
    pub(crate) parts_kept_at: Instant,
    pub(crate) stopping: bool,
    pub(crate) fatal: Option<String>,
    pub(crate) faults: Faults,
}

/// Why a worker ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The Kafka client cannot go on.
    #[error("the Kafka client cannot go on: {0}")]
    Kafka(String),
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(parts: WorkerParts, settings: WorkerSettings) -> Self {
        let (faults, now) = (Faults::from_env(), Instant::now());
        Self {
            stream: parts.stream,
            retry: parts.retry,
            routing: parts.routing,
            waker: parts.waker,
            readiness: parts.readiness,
            partitions: Partitions::default(),
            parked: ParkedOrders::new(settings.retry_backoff()),
            parking: Arc::new(Semaphore::new(settings.parked_kib_max as usize)),
            newer: Vec::new(),
            batches: Batches::new(parts.engine, &settings),
            pace: Pace::new(
                settings.batch_records_enough,
                Duration::from_millis(settings.batch_pause_max_ms),
            ),
            held_until: None,
            burials: Burials::new(parts.dead_letters),
            moves: Moves::new(
                parts.retry_topic,
                settings.batch_records_max,
                faults.clone(),
            ),
            moved_at: now,
            shard_causes: BTreeMap::new(),
            detoured: BTreeSet::new(),
            measured_at: now,
            revocations: Vec::new(),
            commit_at: None,
            parts_kept_at: now,
            stopping: false,
            fatal: None,
            faults,
            settings,
        }
    }

    /// Works until `shutdown`; then finishes the batches in hand, commits and leaves the group.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        loop {
            let due = self.next_due();
            tokio::select! {
                event = self.stream.next() => match event {
                    Some(event) => self.take_what_is_there(event),
                    None => break,
                },
                returned = self.retry.next() => match returned {
                    Some(returned) => self.take_what_came_back(returned),
                    None => break,
                },
                ended = self.batches.next() => self.settle(ended),
                buried = self.burials.next() => self.done(buried),
                moved = self.moves.next() => self.moved(moved),
                () = sleep_until(due) => {}
                () = shutdown.cancelled(), if !self.stopping => self.stop(),
            }
            self.retry_parked();
            self.start_batches();
            self.move_parked();
            self.moves.start();
            self.commit_offsets().await;
            self.let_go();
            self.measure();
        }
        self.retry.close().await;
        match self.fatal {
            Some(cause) => Err(WorkerError::Kafka(cause)),
            None if self.stopping => Ok(()),
            None => Err(WorkerError::Kafka("its polling thread has died".into())),
        }
    }

    /// Fills the free lanes, each with partitions of its own.
    fn start_batches(&mut self) {
        let now = Instant::now();
        self.end_closings(now);
        self.held_until = None;
        while !self.stopping && self.batches.lanes_taken() < self.settings.lanes {
            let waiting = self.partitions.ready();
            if waiting == 0 {
                return;
            }
            let took = self.batches.last_took();
            self.held_until = self.pace.held_until(waiting, took, now);
            if self.held_until.is_some() {
                return;
            }
            let (works, busy) = self.partitions.take(self.settings.batch_records_max);
            let works = self.sort_out(works, now);
            if works.is_empty() {
                self.partitions.release(&busy);
                continue;
            }
            let lane = Lane::Partitions(busy);
            self.pace.began(works.len(), now);
            self.batches.start(Batch { lane, works });
        }
    }

    fn retry_parked(&mut self) {
        let (max, probe_max) = (
            self.settings.retry_orders_max,
            self.settings.probe_orders_max,
        );
        while !self.stopping {
            let due = self.parked.take_due(Instant::now(), max, probe_max);
            let Some((shard, works)) = due else { return };
            let lane = Lane::Retry(shard);
            self.batches.start(Batch { lane, works });
        }
    }

    /// Takes nothing more; leaving the group revokes every partition, as a rebalance does.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.stream.close();
    }

    fn next_due(&self) -> Option<Instant> {
        let until = self.revocations.iter().map(|r| r.until);
        let parked = self.parked.next_due().into_iter();
        let parked = parked
            .chain(self.held_until)
            .chain(self.next_move())
            .chain(self.partitions.closings_end());
        let parked = parked.filter(|_| !self.stopping);
        until.chain(parked).chain(self.commit_at).min()
    }

    fn measure(&mut self) {
        self.measure_queues();
        meters::newer_schema(self.newer.len());
        meters::in_hand(
            self.partitions.count(),
            self.partitions.open(),
            self.parked.count(),
            self.parked.shut_shards(),
        );
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
