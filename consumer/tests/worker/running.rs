//! A worker in this process.

use crate::support::{Own, PATIENCE};
use consumer::batches::Engine;
use consumer::dead_letters::DeadLetters;
use consumer::outlet;
use consumer::retry_stream::RetryStream;
use consumer::retry_topic::{RetryParts, RetryTopic};
use consumer::settings::WorkerSettings;
use consumer::stream::Stream;
use consumer::wake::Waker;
use consumer::worker::{Worker, WorkerError, WorkerParts};
use saga::Sweeper;
use service::admin::Readiness;
use std::sync::Arc;
use store::{Stores, StoresSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A worker with its sweeper, running in this process.
pub struct Running {
    stop: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
    sweeper: JoinHandle<()>,
    pub readiness: Readiness,
}

impl Running {
    /// As SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.worker).await;
        ended.expect("the worker stops in time").unwrap().unwrap();
        self.sweeper.await.unwrap();
    }

    /// As kill -9 does, as far as that goes in one process.
    pub fn kill(self) {
        self.worker.abort();
        self.sweeper.abort();
    }
}

impl Own {
    /// A worker as the service runs it.
    pub fn worker(&self) -> Running {
        self.worker_with(&self.stores_settings, |_| {})
    }

    pub fn worker_with(
        &self,
        stores: &StoresSettings,
        change: impl FnOnce(&mut WorkerSettings),
    ) -> Running {
        let stores = Stores::connect(stores).unwrap();
        let mut settings = self.settings.worker.clone();
        change(&mut settings);
        let log = stores.order_log(self.settings.orders);
        let coordinator = self.settings.coordinator.clone();
        let participant = stores.account_participant();
        let engine = Arc::new(Engine::new(log, participant, stores.shards(), coordinator));
        let sweeper = Sweeper::new(engine.clone(), self.settings.sweeper.clone());
        let kafka = &self.settings.kafka;
        let readiness = Readiness::waiting_for(&["kafka"]);
        let (retry_parts, timeout) = (self.retry_parts(), settings.dead_letter_timeout_ms);
        let outlet = outlet::open(kafka, timeout).unwrap();
        let parts = WorkerParts {
            stream: Stream::open(kafka, &settings).unwrap(),
            retry: RetryStream::open(kafka, &settings, retry_parts).unwrap(),
            retry_topic: RetryTopic::new(outlet.clone(), kafka, retry_parts),
            engine,
            routing: stores.routing().clone(),
            dead_letters: DeadLetters::new(outlet, kafka),
            waker: Waker::start(&self.settings.redis, settings.wake_queue_batches_max).unwrap(),
            readiness: readiness.clone(),
        };
        let stop = CancellationToken::new();
        Running {
            worker: tokio::spawn(Worker::new(parts, settings).run(stop.clone())),
            sweeper: tokio::spawn(sweeper.run(stop.clone())),
            stop,
            readiness,
        }
    }

    pub fn retry_parts(&self) -> RetryParts {
        RetryParts {
            partitions: self.settings.topics.partitions,
            shards: self.stores.routing().order_shards(),
        }
    }
}
