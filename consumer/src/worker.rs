//! The worker: one loop over everything that happens.
//!
//! It drains what is there, decodes it, runs it in batches, wakes whoever waits and commits
//! offsets. A change of the assignment is a message in the same loop. What may take long runs
//! elsewhere and comes back as a message: batches ([`Batches`]), dead letters ([`Burials`]). What is
//! done with a batch's answers stands in `settle.rs`, commits and revocations in `handover.rs`.
//!
//! An offset is committed once its record's outcome is in a database, or the record is an
//! acknowledged dead letter. Orders whose log shard cannot be reached are parked: they hold their
//! partition's offset back, and nothing else.

use crate::batches::{Batch, Batches, Engine, Lane, Work};
use crate::burials::Burials;
use crate::dead_letters::DeadLetters;
use crate::decode::{Decoded, decode};
use crate::events::Event;
use crate::handover::Revocation;
use crate::meters;
use crate::parked::ParkedOrders;
use crate::partitions::Partitions;
use crate::record::{Place, Record};
use crate::settings::WorkerSettings;
use crate::stream::Stream;
use crate::wake::Waker;
use saga::faults::Faults;
use service::admin::Readiness;
use std::sync::Arc;
use std::time::Instant;
use store::{PaymentOrder, Routing};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// What a worker is made of.
pub struct WorkerParts {
    /// The events of its group membership.
    pub stream: Stream,
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
    routing: Arc<Routing>,
    pub(crate) waker: Waker,
    readiness: Readiness,
    pub(crate) settings: WorkerSettings,
    pub(crate) partitions: Partitions<Work>,
    pub(crate) parked: ParkedOrders<Work>,
    /// Room for what is parked, beside the room for what is in hand.
    pub(crate) parking: Arc<Semaphore>,
    /// Records of a newer schema: they hold their offset until a newer consumer takes over.
    pub(crate) newer: Vec<(Place, OwnedSemaphorePermit)>,
    batches: Batches,
    pub(crate) burials: Burials,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) commit_at: Option<Instant>,
    pub(crate) stopping: bool,
    fatal: Option<String>,
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
        Self {
            stream: parts.stream,
            routing: parts.routing,
            waker: parts.waker,
            readiness: parts.readiness,
            partitions: Partitions::default(),
            parked: ParkedOrders::new(settings.retry_backoff()),
            parking: Arc::new(Semaphore::new(settings.parked_kib_max as usize)),
            newer: Vec::new(),
            batches: Batches::new(parts.engine, &settings),
            burials: Burials::new(parts.dead_letters),
            revocations: Vec::new(),
            commit_at: None,
            stopping: false,
            fatal: None,
            faults: Faults::from_env(),
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
                ended = self.batches.next() => self.settle(ended),
                buried = self.burials.next() => self.done(buried),
                () = sleep_until(due) => {}
                () = shutdown.cancelled(), if !self.stopping => self.stop(),
            }
            self.retry_parked();
            self.start_batches();
            self.commit_offsets().await;
            self.let_go();
            self.measure();
        }
        match self.fatal {
            Some(cause) => Err(WorkerError::Kafka(cause)),
            None if self.stopping => Ok(()),
            None => Err(WorkerError::Kafka("its polling thread has died".into())),
        }
    }

    /// Drains what is there, at most a batch for each lane, and waits for nothing more.
    fn take_what_is_there(&mut self, first: Event) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(event) = next {
            self.on_event(event);
            taken += 1;
            let more = taken < self.settings.batch_records_max * self.settings.lanes;
            next = if more {
                self.stream.next_if_there()
            } else {
                None
            };
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Record(record, room) => self.on_record(record, room),
            Event::Assigned {
                partitions,
                generation,
            } => {
                let numbers = partitions.into_iter();
                numbers.for_each(|number| self.partitions.assign(number, generation));
            }
            Event::Revoked { partitions, answer } => self.on_revoked(partitions, answer),
            Event::CommitFailed { partitions, cause } => {
                meters::commit_failed();
                tracing::info!(
                    ?partitions,
                    cause,
                    "Offsets were not committed; they are due again."
                );
                self.partitions.commit_failed(&partitions);
                self.commit_soon();
            }
            Event::Group(state) => self.readiness.set("kafka", state),
            Event::Passing(cause) => {
                tracing::info!(cause, "The Kafka client goes on after an error.")
            }
            Event::Fatal(cause) => {
                self.fatal = Some(cause);
                self.stop();
            }
        }
    }

    fn on_record(&mut self, record: Record, room: OwnedSemaphorePermit) {
        let place = record.place;
        if self.stopping || !self.partitions.receive(place) {
            return;
        }
        match decode(&record, self.settings.value_bytes_max) {
            Decoded::Command(command) => {
                meters::record("command");
                let order = PaymentOrder::new(command.payment, 0);
                let shard = self.routing.shard_id(self.routing.order_shard(order.id));
                let wake = command.wake;
                let work = Work {
                    record,
                    order,
                    shard,
                    wake,
                    room,
                };
                self.partitions.wait(place, work);
            }
            Decoded::Poison(cause) => {
                meters::record("poison");
                self.burials.start(record, cause, room);
            }
            Decoded::NewerSchema(version) => {
                meters::record("newer_schema");
                self.hold_for_newer(place, version, room);
            }
        }
    }

    /// Its offset is not passed: whoever can read it finds it there.
    fn hold_for_newer(&mut self, place: Place, version: u32, room: OwnedSemaphorePermit) {
        let (partition, offset) = (place.partition, place.offset);
        tracing::error!(
            partition,
            offset,
            version,
            "A record of a newer schema holds its partition's offset until a newer consumer takes it."
        );
        let room = self.parking_for(room);
        self.newer.push((place, room));
    }

    /// Fills the free lanes, each with partitions of its own.
    fn start_batches(&mut self) {
        while !self.stopping && self.batches.lanes_taken() < self.settings.lanes {
            let (works, busy) = self.partitions.take(self.settings.batch_records_max);
            if works.is_empty() {
                return;
            }
            let works = self.without_held(works);
            if works.is_empty() {
                self.partitions.release(&busy);
                continue;
            }
            let lane = Lane::Partitions(busy);
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
    fn stop(&mut self) {
        self.stopping = true;
        self.stream.close();
    }

    fn next_due(&self) -> Option<Instant> {
        let until = self.revocations.iter().map(|r| r.until);
        let parked = self.parked.next_due().filter(|_| !self.stopping);
        until.chain(parked).chain(self.commit_at).min()
    }

    fn measure(&self) {
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
