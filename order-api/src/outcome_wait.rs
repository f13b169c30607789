//! `Prefer: wait`: whoever asked for the outcome is woken when a consumer publishes that the order
//! has ended, and looks for himself now and then, so that Redis only makes it quicker.

use crate::order_lookup::{Found, OrderLookup};
use domain::OrderId;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use service::redis::RedisSettings;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::OrderRow;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How much longer than was wished the last look may take.
const LAST_LOOK: Duration = Duration::from_millis(500);
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Section `[waiting]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingSettings {
    /// The longest `Prefer: wait`, in seconds.
    pub wait_s_max: u64,
    /// When a waiter first looks for itself, in milliseconds.
    pub poll_first_ms: u64,
    /// How often it looks later, in milliseconds.
    pub poll_max_ms: u64,
}

type Waiters = HashMap<OrderId, Vec<Arc<Notify>>>;

/// Those who wait in this process.
#[derive(Clone)]
pub(crate) struct OutcomeWait {
    waiters: Arc<Mutex<Waiters>>,
    instance: Arc<str>,
    settings: WaitingSettings,
}

/// One who waits; begun before the order is produced, so that no wake is missed.
pub(crate) struct Waiter {
    outcomes: OutcomeWait,
    id: OrderId,
    woken: Arc<Notify>,
}

impl OutcomeWait {
    /// `instance` names this process among all API processes.
    pub(crate) fn new(instance: String, settings: &WaitingSettings) -> Self {
        Self {
            waiters: Arc::default(),
            instance: instance.into(),
            settings: settings.clone(),
        }
    }

    /// This process's name, for the record's `wake` header.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Begins to wait for this order.
    pub(crate) fn begin(&self, id: OrderId) -> Waiter {
        let woken = Arc::new(Notify::new());
        self.lock().entry(id).or_default().push(Arc::clone(&woken));
        Waiter {
            outcomes: self.clone(),
            id,
            woken,
        }
    }

    /// Listens on this process's channel, and connects again when the connection is lost.
    pub(crate) async fn listen(self, redis: RedisSettings, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                heard = self.listen_once(&redis) => {
                    if let Err(error) = heard {
                        tracing::debug!(%error, "The wake channel is lost; waiters look for themselves.");
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RECONNECT_AFTER) => {}
            }
        }
    }

    async fn listen_once(&self, redis: &RedisSettings) -> anyhow::Result<()> {
        let client = redis.client()?;
        let timeout = Duration::from_millis(redis.connect_timeout_ms);
        let mut channel = tokio::time::timeout(timeout, client.get_async_pubsub()).await??;
        channel
            .subscribe(redis.wake_channel(&self.instance))
            .await?;
        let mut messages = channel.on_message();
        while let Some(message) = messages.next().await {
            self.wake(message.get_payload_bytes());
        }
        anyhow::bail!("Redis closed the connection")
    }

    /// A message is a JSON list of the ids of ended orders.
    fn wake(&self, message: &[u8]) {
        let Ok(ids) = serde_json::from_slice::<Vec<OrderId>>(message) else {
            tracing::warn!("A wake message is not a list of order ids.");
            return;
        };
        let waiters = self.lock();
        for woken in ids.iter().filter_map(|id| waiters.get(id)).flatten() {
            woken.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The order's row once it has ended, or as it is when the time is up or the process stops; none
    /// where there is none yet, or nobody who can tell.
    pub(crate) async fn outcome(
        &self,
        lookup: &OrderLookup,
        wait: Duration,
        shutdown: &CancellationToken,
    ) -> Option<Arc<OrderRow>> {
        let until = Instant::now() + wait;
        let settings = &self.outcomes.settings;
        let mut pause = Duration::from_millis(settings.poll_first_ms);
        let mut latest = None;
        loop {
            let next_look = (Instant::now() + pause).min(until);
            let stopped = tokio::select! {
                () = self.woken.notified() => false,
                () = tokio::time::sleep_until(next_look) => false,
                () = shutdown.cancelled() => true,
            };
            let look = tokio::time::timeout_at(until + LAST_LOOK, lookup.find(self.id));
            if let Ok(Found::Row(row)) = look.await {
                latest = Some(row);
            }
            let over = latest.as_deref().is_some_and(ended);
            if over || stopped || Instant::now() >= until {
                return latest;
            }
            pause = (pause * 2).min(Duration::from_millis(settings.poll_max_ms));
        }
    }
}

/// Whether the order has its outcome.
pub(crate) fn ended(row: &OrderRow) -> bool {
    match row.state.status() {
        domain::OrderStatus::Processing => false,
        domain::OrderStatus::Paid | domain::OrderStatus::Cancelled => true,
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.outcomes.lock();
        if let Some(others) = waiters.get_mut(&self.id) {
            others.retain(|woken| !Arc::ptr_eq(woken, &self.woken));
            if others.is_empty() {
                waiters.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_that_comes_before_the_waiting_is_not_missed() {
        let settings = WaitingSettings {
            wait_s_max: 1,
            poll_first_ms: 1,
            poll_max_ms: 1,
        };
        let outcomes = OutcomeWait::new("test".into(), &settings);
        let id = OrderId::from_bytes([9; 16]);
        let waiter = outcomes.begin(id);
        outcomes.wake(format!("[\"{id}\"]").as_bytes());
        waiter.woken.notified().await;
        outcomes.wake(b"not json");
        drop(waiter);
        assert!(outcomes.lock().is_empty());
    }
}
