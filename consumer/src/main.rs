//! The consumer: makes what `payment.commands` asks for, and finishes what others left open.

use anyhow::Context;
use clap::Parser;
use consumer::batches::Engine;
use consumer::dead_letters::DeadLetters;
use consumer::outlet;
use consumer::retry_stream::RetryStream;
use consumer::retry_topic::{RetryParts, RetryTopic};
use consumer::settings::{DEFAULT_TOML, Settings};
use consumer::stream::Stream;
use consumer::topics::{self, TopicError};
use consumer::wake::Waker;
use consumer::worker::{Worker, WorkerParts};
use saga::Sweeper;
use service::admin::{self, Readiness};
use service::args::Args;
use std::sync::Arc;
use std::time::Duration;
use store::Stores;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often what is not ready yet is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    service::start("consumer");
    let Some(settings) = Args::parse().settings::<Settings>(DEFAULT_TOML)? else {
        return Ok(());
    };
    settings.check()?;
    service::logs::init(&settings.log)?;
    let metrics = service::metrics::install()?;
    let shutdown = service::shutdown::on_signal()?;
    let readiness = Readiness::waiting_for(&["kafka", "stores", "topics"]);
    let admin_stop = CancellationToken::new();
    let admin = {
        let (settings, readiness) = (settings.admin.clone(), readiness.clone());
        let stop = admin_stop.clone();
        tokio::spawn(async move { admin::serve(&settings, readiness, metrics, stop).await })
    };
    let ended = tokio::select! {
        ended = work(settings, readiness.clone(), shutdown.clone()) => ended,
        served = admin => match served? {
            Ok(()) => anyhow::bail!("the admin port closed by itself"),
            Err(error) => Err(error),
        },
    };
    admin_stop.cancel();
    ended
}

/// Runs the worker and the sweeper until `shutdown`.
async fn work(
    settings: Settings,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let stores = Stores::connect(&settings.stores)?;
    let log = stores.order_log(settings.orders);
    let participant = stores.account_participant();
    let engine = Arc::new(Engine::new(
        log,
        participant,
        stores.shards(),
        settings.coordinator.clone(),
    ));
    let ready = shutdown.run_until_cancelled(ready(&settings, &stores, &readiness));
    let Some(ready) = ready.await else {
        return Ok(());
    };
    ready?;
    let sweeper = Sweeper::new(engine.clone(), settings.sweeper.clone());
    let sweeper_stop = CancellationToken::new();
    let mut sweeper = tokio::spawn(sweeper.run(sweeper_stop.clone()));
    let (kafka, worker) = (&settings.kafka, &settings.worker);
    let retry_parts = RetryParts {
        partitions: settings.topics.partitions,
        shards: stores.routing().order_shards(),
    };
    let outlet = outlet::open(kafka, worker.dead_letter_timeout_ms)?;
    let parts = WorkerParts {
        stream: Stream::open(kafka, worker).context("cannot join the group")?,
        retry: RetryStream::open(kafka, worker, retry_parts)?,
        retry_topic: RetryTopic::new(outlet.clone(), kafka, retry_parts),
        engine,
        routing: stores.routing().clone(),
        dead_letters: DeadLetters::new(outlet, kafka),
        waker: Waker::start(&settings.redis, settings.worker.wake_queue_batches_max)?,
        readiness: readiness.clone(),
    };
    let timeout = Duration::from_millis(settings.worker.shutdown_timeout_ms);
    let worker = Worker::new(parts, settings.worker).run(shutdown.clone());
    let bound = async {
        shutdown.cancelled().await;
        readiness.stopping();
        tokio::time::sleep(timeout).await;
    };
    tokio::select! {
        worked = worker => worked?,
        swept = &mut sweeper => anyhow::bail!("the sweeper ended by itself: {swept:?}"),
        () = bound => tracing::warn!("The shutdown took too long; what was in hand is redelivered."),
    }
    sweeper_stop.cancel();
    let _ = tokio::time::timeout(timeout, sweeper).await;
    stores.close().await;
    Ok(())
}

/// Waits for the topics; refuses what will not do. A database that is down does not hold the start up.
async fn ready(settings: &Settings, stores: &Stores, readiness: &Readiness) -> anyhow::Result<()> {
    for (shard, cause) in stores.check_identities().await? {
        tracing::warn!(%shard, cause, "A database cannot be reached; its orders will wait.");
    }
    readiness.set("stores", Ok(()));
    loop {
        match topics::check(
            &settings.kafka,
            &settings.topics,
            stores.routing().order_shards(),
        )
        .await
        {
            Ok(()) => break,
            Err(error @ TopicError::Unfit { .. }) => return Err(error.into()),
            Err(TopicError::Unready(cause)) => {
                tracing::warn!(cause, "The topics are not ready; asking again.");
                readiness.set("topics", Err(cause));
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }
    readiness.set("topics", Ok(()));
    Ok(())
}
