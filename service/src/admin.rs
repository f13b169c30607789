//! The admin port: `/livez`, `/readyz` (alias `/healthz`) and `/metrics`.

use crate::metrics::MetricsHandle;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Section `[admin]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// Where the admin port listens.
    pub listen: SocketAddr,
}

/// What the service needs before it can do its work, each part good or bad with a reason.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    stopping: bool,
    parts: BTreeMap<&'static str, Result<(), String>>,
}

impl Readiness {
    /// Not ready until each of these parts was set to good.
    pub fn waiting_for(parts: &[&'static str]) -> Self {
        let waiting = |part: &&'static str| (*part, Err("not there yet".to_owned()));
        let parts = parts.iter().map(waiting).collect();
        Self(Arc::new(Mutex::new(Parts {
            stopping: false,
            parts,
        })))
    }

    /// Says how a part is.
    pub fn set(&self, part: &'static str, is: Result<(), String>) {
        self.lock().parts.insert(part, is);
    }

    /// From now on not ready, whatever the parts say.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// Ready, or what is missing.
    pub fn check(&self) -> Result<(), BTreeMap<&'static str, String>> {
        let parts = self.lock();
        let bad = |(part, is): (&&'static str, &Result<(), String>)| {
            is.as_ref().err().map(|reason| (*part, reason.clone()))
        };
        let mut missing: BTreeMap<_, _> = parts.parts.iter().filter_map(bad).collect();
        if parts.stopping {
            missing.insert("service", "stopping".to_owned());
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers on the admin port until `shutdown`.
pub async fn serve(
    settings: &AdminSettings,
    readiness: Readiness,
    metrics: MetricsHandle,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {} (admin.listen): {error}",
            settings.listen
        )
    })?;
    let router = probes(readiness).route("/metrics", get(move || async move { metrics.render() }));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await?;
    Ok(())
}

/// `/livez`, `/readyz` and `/healthz`.
pub fn probes(readiness: Readiness) -> Router {
    Router::new()
        .route(
            "/livez",
            get(async || Json(serde_json::json!({ "status": "ok" }))),
        )
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, Json(serde_json::json!({ "status": "ok" }))),
        Err(missing) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(serde_json::json!({ "status": "unavailable", "missing": missing })),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_part_is_good_and_nobody_is_stopping() {
        let readiness = Readiness::waiting_for(&["kafka", "stores"]);
        assert!(readiness.check().is_err());
        readiness.set("kafka", Ok(()));
        readiness.set("stores", Err("down".into()));
        let missing = readiness.check().unwrap_err();
        assert_eq!(
            missing.into_iter().collect::<Vec<_>>(),
            [("stores", "down".to_owned())]
        );
        readiness.set("stores", Ok(()));
        assert!(readiness.check().is_ok());
        readiness.stopping();
        assert!(readiness.check().is_err());
    }
}
