//! Follows every server, each for itself: one that is away or broken does not hold up another. Of
//! several followers of one index the one with the lease does so; the others stand by.

use crate::error::{Definite, Transient};
use crate::event_producer::EventProducer;
use crate::health::Health;
use crate::index::ensure_indices;
use crate::lag::Lag;
use crate::lease::{Attempt, Freshness, Lease, Renewal};
use crate::position::{NEVER, ensure_placeholders};
use crate::rebuild::Rebuilder;
use crate::refresher::Refresher;
use crate::search_client::{SearchClient, SearchError};
use crate::session::{Claims, Session, definite};
use crate::settings::Settings;
use crate::snapshot::asked::Snapshotter;
use crate::source::Server;
use crate::targets::Targets;
use metrics::{counter, gauge};
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why the follower as a whole ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    /// Elasticsearch refuses for a reason that stays.
    #[error("Elasticsearch refuses: {0}")]
    Search(SearchError),
    /// The settings of Kafka make no producer.
    #[error("no events can be published: {0}")]
    Events(#[from] KafkaError),
    /// No stream is left.
    #[error("no server is followed any more: {0}")]
    NothingLeft(String),
}

/// Follows these servers until `stop`, or until none is left that can be followed.
pub async fn run(
    settings: Arc<Settings>,
    servers: Vec<Server>,
    health: Health,
    stop: CancellationToken,
) -> Result<(), FollowerError> {
    let client = SearchClient::new(&settings.search).map_err(FollowerError::Search)?;
    let events = match settings.events.publish {
        true => Some(Arc::new(EventProducer::new(
            &settings.kafka,
            &settings.events,
        )?)),
        false => None,
    };
    let patience = Patience {
        settings: &settings,
        health: &health,
        stop: &stop,
    };
    let prepare = || async {
        ensure_indices(&client).await?;
        ensure_placeholders(&client, &servers).await
    };
    if patience.ask(prepare).await?.is_none() {
        return Ok(());
    }
    let pace = settings.follower.lease_pace();
    let mut lease = Lease::new(client.clone(), settings.follower.lease());
    while stand_by(&mut lease, pace, &health, &stop).await? {
        let Some(targets) = patience.ask(|| Targets::find(&client)).await? else {
            break;
        };
        let acting = stop.child_token();
        let act = Act {
            settings: &settings,
            client: &client,
            servers: &servers,
            health: &health,
            targets: &targets,
            events: &events,
            lease: lease.freshness(),
            stop: &acting,
        };
        let followed = act.follow_all();
        tokio::pin!(followed);
        let (ended, kept) = tokio::select! {
            ended = &mut followed => (Some(ended), Ok(())),
            kept = keep(&mut lease, pace) => (None, kept),
        };
        let ended = match ended {
            None => {
                acting.cancel();
                followed.await.and(kept)
            }
            // Who takes over also takes our place at the servers, and that may be noticed first.
            Some(Err(_)) if lease.renew().await != Ok(Renewal::Held) => Ok(()),
            Some(ended) => {
                lease.release().await;
                return ended;
            }
        };
        if ended.is_err() {
            lease.release().await;
            return ended;
        }
        tracing::warn!("Another follower has taken the lease; this one stands by.");
    }
    lease.release().await;
    Ok(())
}

/// Waits until the lease is held; `false` when asked to stop before.
async fn stand_by(
    lease: &mut Lease,
    pace: Duration,
    health: &Health,
    stop: &CancellationToken,
) -> Result<bool, FollowerError> {
    let mut told = None;
    while !stop.is_cancelled() {
        let state = match lease.try_take().await {
            Ok(Attempt::Held) => {
                gauge!("follower_acting").set(1.0);
                health.acts();
                return Ok(true);
            }
            Ok(Attempt::HeldBy(holder)) => {
                health.stands_by();
                Some(holder)
            }
            Err(SearchError::Transient(cause)) => {
                health.search(Err(cause));
                None
            }
            Err(error @ SearchError::Definite(_)) => return Err(FollowerError::Search(error)),
        };
        gauge!("follower_acting").set(0.0);
        if let Some(holder) = state.filter(|holder| told.as_ref() != Some(holder)) {
            tracing::info!(holder, "Another follower acts; this one stands by.");
            told = Some(holder);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pace) => {}
        }
    }
    Ok(false)
}

/// Renews the lease until it is lost. While Elasticsearch does not answer it may be another's already:
/// what was begun goes on and changes nothing, and nothing new is begun ([`Freshness`]).
async fn keep(lease: &mut Lease, pace: Duration) -> Result<(), FollowerError> {
    loop {
        tokio::time::sleep(pace).await;
        match lease.renew().await {
            Ok(Renewal::Held) | Err(SearchError::Transient(_)) => {}
            Ok(Renewal::Lost) => return Ok(()),
            Err(error @ SearchError::Definite(_)) => return Err(FollowerError::Search(error)),
        }
    }
}

/// What the follower that acts works with.
struct Act<'a> {
    settings: &'a Arc<Settings>,
    client: &'a SearchClient,
    servers: &'a [Server],
    health: &'a Health,
    targets: &'a Targets,
    events: &'a Option<Arc<EventProducer>>,
    lease: Freshness,
    stop: &'a CancellationToken,
}

impl Act<'_> {
    /// Follows the servers until `stop`, or until none is left that can be followed.
    async fn follow_all(&self) -> Result<(), FollowerError> {
        let Self {
            settings,
            client,
            servers,
            health,
            targets,
            events,
            lease,
            stop,
        } = self;
        let (claims, lag) = (Claims::default(), Lag::default());
        let interval = Duration::from_millis(settings.follower.freshness_interval_ms);
        let refresher = Refresher::new((*client).clone(), interval);
        let mut streams = JoinSet::new();
        for server in servers.iter().cloned() {
            let (settings, client) = (Arc::clone(settings), (*client).clone());
            let (health, targets, stop) = ((*health).clone(), (*targets).clone(), (*stop).clone());
            let (claims, lag, events) = (claims.clone(), lag.clone(), (*events).clone());
            let (refresher, lease) = (refresher.clone(), lease.clone());
            lag.as_of(&server.label, NEVER);
            streams.spawn(async move {
                let session = Session {
                    server: &server,
                    settings: &settings,
                    client: &client,
                    health: &health,
                    claims: &claims,
                    lag: &lag,
                    lease: &lease,
                    targets: &targets,
                    events: &events,
                    refresher: &refresher,
                    stop: &stop,
                };
                let ended = supervise(&session).await;
                (server.label, ended)
            });
        }
        let rebuilder = Rebuilder {
            settings,
            client,
            servers,
            targets,
            health,
            stop,
        };
        let snapshotter = Snapshotter {
            settings,
            client,
            servers,
            targets,
            health,
            stop,
        };
        let beside = async { tokio::join!(lag.tell(), rebuilder.run(), snapshotter.run()) };
        tokio::select! {
            ended = all_ended(streams, health, stop) => ended,
            _ = beside => Ok(()),
        }
    }
}

async fn all_ended(
    mut streams: JoinSet<(String, Result<(), Definite>)>,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), FollowerError> {
    let mut causes = Vec::new();
    while let Some(ended) = streams.join_next().await {
        causes.extend(stopped(ended, health));
    }
    if causes.is_empty() || stop.is_cancelled() {
        return Ok(());
    }
    Err(FollowerError::NothingLeft(causes.join("; ")))
}

type Ended = Result<(String, Result<(), Definite>), tokio::task::JoinError>;

/// Says what ended a stream for good; `None` for one that was asked to.
fn stopped(ended: Ended, health: &Health) -> Option<String> {
    let (label, cause) = match ended {
        Ok((_, Ok(()))) => return None,
        Ok((label, Err(cause))) => (label, cause),
        Err(error) => ("a stream".to_owned(), Definite::Panicked(error.to_string())),
    };
    tracing::error!(stream = label, cause = %cause,
        "This server is not followed any more; somebody has to look, then start the follower again.");
    health.stream(&label, Err(format!("stopped: {cause}")));
    Some(format!("{label}: {cause}"))
}

/// How Elasticsearch is asked before anything is followed: however long it takes to come up.
struct Patience<'a> {
    settings: &'a Settings,
    health: &'a Health,
    stop: &'a CancellationToken,
}

impl Patience<'_> {
    /// The answer; none when asked to stop before there was one.
    async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<Option<T>, FollowerError>
    where
        F: Future<Output = Result<T, SearchError>>,
    {
        let mut delays = self.settings.follower.backoff();
        let mut told = false;
        loop {
            let cause = match ask().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error @ SearchError::Definite(_)) => return Err(FollowerError::Search(error)),
                Err(SearchError::Transient(cause)) => cause,
            };
            if !told {
                told = true;
                tracing::warn!(
                    cause,
                    "Elasticsearch is not there yet; the follower waits for it."
                );
            }
            self.health.search(Err(cause));
            if !pause(delays.next(), self.settings, self.stop).await {
                return Ok(None);
            }
        }
    }
}

/// Waits, unless asked to stop: then `false`.
async fn pause(delay: Option<Duration>, settings: &Settings, stop: &CancellationToken) -> bool {
    let longest = Duration::from_millis(settings.follower.backoff_max_ms);
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(delay.unwrap_or(longest)) => true,
    }
}

/// Follows one server, again and again, until asked to stop or until trying again does not help.
async fn supervise(session: &Session<'_>) -> Result<(), Definite> {
    let (server, follower) = (session.server, &session.settings.follower);
    let mut delays = follower.backoff();
    let mut told = None;
    while !session.stop.is_cancelled() {
        let began = Instant::now();
        let Err(error) = session.run().await else {
            continue;
        };
        if began.elapsed() > follower.silence() {
            (delays, told) = (follower.backoff(), None);
        }
        let cause = definite(error)?;
        say_once(server, session.health, &cause, &mut told);
        counter!("follower_reconnects_total", "stream" => server.label.clone()).increment(1);
        if !pause(delays.next(), session.settings, session.stop).await {
            break;
        }
    }
    Ok(())
}

fn say_once(server: &Server, health: &Health, cause: &Transient, told: &mut Option<String>) {
    let text = cause.to_string();
    health.stream(&server.label, Err(text.clone()));
    if told.as_ref() != Some(&text) {
        tracing::warn!(
            stream = server.label,
            cause = text,
            "The server is not followed at the moment; the follower tries again."
        );
        *told = Some(text);
    }
}
