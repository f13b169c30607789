//! What every handler shares.

use crate::auth::{Authenticator, KeySet};
use crate::idempotency::{LocalClaims, MarkerStore};
use crate::order_lookup::OrderLookup;
use crate::order_producer::OrderProducer;
use crate::outcome_wait::OutcomeWait;
use crate::search::{CursorKey, SearchClient};
use crate::settings::Settings;
use anyhow::Context;
use domain::IdKey;
use service::admin::Readiness;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use store::{AccountStore, Stores};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The shared handles; cloning it clones one pointer.
#[derive(Clone)]
pub(crate) struct App(Arc<Handles>);

/// What the handlers work with.
pub(crate) struct Handles {
    pub(crate) settings: Settings,
    pub(crate) authenticator: Authenticator,
    pub(crate) id_key: IdKey,
    pub(crate) cursor_key: CursorKey,
    pub(crate) stores: Stores,
    pub(crate) accounts: AccountStore,
    pub(crate) lookup: OrderLookup,
    pub(crate) producer: Arc<OrderProducer>,
    pub(crate) local_claims: LocalClaims,
    pub(crate) markers: MarkerStore,
    pub(crate) outcomes: OutcomeWait,
    pub(crate) search: SearchClient,
    pub(crate) readiness: Readiness,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) requests: Semaphore,
    pub(crate) waiting_requests: Semaphore,
    pub(crate) exports: Arc<Semaphore>,
    /// What must end before the process does.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the process is asked to stop: nobody waits for an outcome any longer.
    pub(crate) stopping: CancellationToken,
}

impl Deref for App {
    type Target = Handles;
    fn deref(&self) -> &Handles {
        &self.0
    }
}

impl App {
    /// Reads the keys and prepares every client; waits for no server.
    pub(crate) fn new(settings: Settings, stopping: CancellationToken) -> anyhow::Result<Self> {
        let stores = Stores::connect(&settings.stores)?;
        let id_key = read_key(&settings.ids.mac_key_file, "ids.mac_key_file")?;
        let cursor_key = read_key(&settings.cursors.key_file, "cursors.key_file")?;
        let instance = format!("api-{:016x}", rand::random::<u64>());
        let http = &settings.http;
        let keep_alive_s = settings.cursors.keep_alive_s;
        let order_shards = stores.orders.shards();
        Ok(Self(Arc::new(Handles {
            authenticator: Authenticator::new(KeySet::load(&settings.auth)?, &settings.auth),
            id_key: IdKey::from_hex(&id_key)?,
            cursor_key: CursorKey::from_hex(&cursor_key)?,
            accounts: stores.accounts.clone(),
            lookup: OrderLookup::new(stores.clone(), &settings.lookup),
            stores,
            producer: Arc::new(OrderProducer::new(&settings.kafka, &settings.producer)?),
            local_claims: LocalClaims::new(settings.idempotency.accepted_max),
            markers: MarkerStore::new(&settings.redis, &settings.idempotency)?,
            outcomes: OutcomeWait::new(instance, &settings.waiting),
            search: SearchClient::new(&settings.search, keep_alive_s, &order_shards)?,
            readiness: Readiness::waiting_for(&["kafka"]),
            connections: Arc::new(Semaphore::new(http.connections_max)),
            requests: Semaphore::new(http.requests_max),
            waiting_requests: Semaphore::new(http.waiting_requests_max),
            exports: Arc::new(Semaphore::new(http.exports_max)),
            tasks: TaskTracker::new(),
            stopping,
            settings,
        })))
    }
}

fn read_key(path: &Path, setting: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {} ({setting})", path.display()))
}
