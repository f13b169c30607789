//! The listener: connections within limits, HTTP/1 and HTTP/2, and an orderly end.

use crate::first_bytes::first_bytes;
use crate::router::router;
use crate::settings::{HttpSettings, Settings};
use crate::state::App;
use crate::{kafka_health, queues};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use service::admin::Readiness;
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const HTTP2_STREAMS_MAX: u32 = 256;
/// What waits in the kernel to be sent to a client; an export is written in pieces of this size.
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

/// The service, listening; [`Api::serve`] answers.
pub struct Api {
    app: App,
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is ready.
    pub readiness: Readiness,
    stop: CancellationToken,
}

impl Api {
    /// Reads keys, checks which databases it has before it, and listens. `stop` ends it orderly.
    pub async fn bind(settings: Settings, stop: CancellationToken) -> anyhow::Result<Self> {
        settings.check()?;
        let listen = settings.http.listen;
        let app = App::new(settings, CancellationToken::new())?;
        for (shard, cause) in app.stores.check_identities().await? {
            tracing::warn!(%shard, cause, "A shard cannot be reached; it is asked again when needed.");
        }
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| anyhow::anyhow!("cannot listen on {listen} (http.listen): {error}"))?;
        Ok(Self {
            readiness: app.readiness.clone(),
            address: listener.local_addr()?,
            app,
            listener,
            stop,
        })
    }

    /// Answers until `stop`; then finishes what is in hand and flushes the producer.
    pub async fn serve(self) -> anyhow::Result<()> {
        let Self {
            app,
            listener,
            stop,
            ..
        } = self;
        let background = spawn_background(&app);
        tracing::info!(address = %listener.local_addr()?, "The API is open.");
        let connections = accept_until_stopped(&app, listener, stop).await;
        let timeout = Duration::from_millis(app.settings.http.shutdown_timeout_ms);
        let in_hand = async {
            connections.shutdown().await;
            app.tasks.close();
            app.tasks.wait().await;
        };
        if tokio::time::timeout(timeout, in_hand).await.is_err() {
            tracing::warn!("Some requests were still in hand when the time was up.");
        }
        background.cancel();
        let producer = Arc::clone(&app.producer);
        tokio::task::spawn_blocking(move || producer.flush()).await?;
        app.stores.close().await;
        tracing::info!("The API is closed.");
        Ok(())
    }
}

fn spawn_background(app: &App) -> CancellationToken {
    let stop = CancellationToken::new();
    let settings = &app.settings;
    tokio::spawn(kafka_health::watch(
        Arc::clone(&app.producer),
        settings.kafka.clone(),
        settings.producer.retention_days_min,
        Duration::from_millis(settings.producer.health_interval_ms),
        app.readiness.clone(),
        stop.clone(),
    ));
    tokio::spawn(queues::tell(app.clone(), stop.clone()));
    let outcomes = app.outcomes.clone();
    tokio::spawn(outcomes.listen(settings.redis.clone(), stop.clone()));
    stop
}

async fn accept_until_stopped(
    app: &App,
    listener: TcpListener,
    stop: CancellationToken,
) -> GracefulShutdown {
    let door = Arc::new(Door::new(app));
    let connections = GracefulShutdown::new();
    let stopped = stop_after_notice(app, stop);
    tokio::pin!(stopped);
    loop {
        let next = async {
            let place = Arc::clone(&app.connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stopped => return connections,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let (door, watcher) = (Arc::clone(&door), connections.watcher());
                tokio::spawn(async move {
                    door.serve(stream, watcher).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "A connection cannot be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// First not ready, so that nobody is sent here; a moment later the door closes, and those who
/// wait for an outcome are answered with what is known.
async fn stop_after_notice(app: &App, stop: CancellationToken) {
    stop.cancelled().await;
    app.readiness.stopping();
    tokio::time::sleep(Duration::from_millis(app.settings.http.shutdown_notice_ms)).await;
    app.stopping.cancel();
}

fn connection_builder(http: &HttpSettings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(http.header_timeout_ms))
        .max_buf_size(http.header_bytes_max)
        .max_headers(http.headers_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(http.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(Duration::from_millis(http.header_timeout_ms))
        .keep_alive_timeout(Duration::from_millis(http.header_timeout_ms));
    builder
}

/// What every connection is served with.
struct Door {
    builder: Builder<TokioExecutor>,
    router: Router,
    first_bytes_timeout: Duration,
    unread_timeout: Duration,
    stopping: CancellationToken,
}

impl Door {
    fn new(app: &App) -> Self {
        let http = &app.settings.http;
        Self {
            builder: connection_builder(http),
            router: router(app.clone()),
            first_bytes_timeout: Duration::from_millis(http.header_timeout_ms),
            unread_timeout: Duration::from_millis(http.unread_timeout_ms.into()),
            stopping: app.stopping.clone(),
        }
    }

    /// Serves a connection to its end. One that says nothing is closed when its time is up, or the
    /// service stops.
    async fn serve(&self, stream: TcpStream, watcher: Watcher) {
        // Answers are small and somebody waits for each.
        let _ = stream.set_nodelay(true);
        // Whoever does not take what he asked for is let go.
        let socket = SockRef::from(&stream);
        let _ = socket.set_tcp_user_timeout(Some(self.unread_timeout));
        // So that one who takes little at a time is seen to take it.
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        let begun = tokio::time::timeout(self.first_bytes_timeout, first_bytes(stream));
        let Some(Ok(Ok(stream))) = self.stopping.run_until_cancelled(begun).await else {
            return;
        };
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, "A connection ended early.");
        }
    }
}
