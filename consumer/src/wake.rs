//! Wakes the API instances that wait for outcomes: one PUBLISH per instance and batch.
//!
//! Nobody's money depends on it: a call that Redis does not take in time is dropped and counted,
//! and who waited asks the store when his time is up.

use crate::meters;
use domain::OrderId;
use redis::aio::ConnectionManager;
use service::redis::RedisSettings;
use std::collections::BTreeMap;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The ended orders of one batch by the instance that waits for them.
pub type Wakes = BTreeMap<String, Vec<OrderId>>;

/// Hands wake-up calls to a task of its own. Dropping it ends the task.
#[derive(Debug, Clone)]
pub struct Waker(Sender<Wakes>);

impl Waker {
    /// Starts the task. At most `batches_max` batches wait for Redis.
    pub fn start(settings: &RedisSettings, batches_max: usize) -> anyhow::Result<Self> {
        let connection = settings.manager()?;
        let (sender, receiver) = channel(batches_max);
        tokio::spawn(publish(connection, settings.clone(), receiver));
        Ok(Self(sender))
    }

    /// Never waits.
    pub fn wake(&self, wakes: Wakes) {
        if wakes.is_empty() {
            return;
        }
        let orders = wakes.values().map(Vec::len).sum();
        if self.0.try_send(wakes).is_err() {
            meters::wakes("dropped", orders);
        }
    }
}

async fn publish(
    connection: ConnectionManager,
    settings: RedisSettings,
    mut batches: Receiver<Wakes>,
) {
    let mut reached = true;
    while let Some(wakes) = batches.recv().await {
        let orders = wakes.values().map(Vec::len).sum();
        match publish_batch(connection.clone(), &settings, &wakes).await {
            Ok(()) => {
                reached = true;
                meters::wakes("sent", orders);
            }
            Err(error) => {
                if reached {
                    tracing::warn!(%error, "Redis does not take wake-up calls; they are dropped.");
                }
                reached = false;
                meters::wakes("failed", orders);
            }
        }
    }
}

/// The connection bounds its own time.
async fn publish_batch(
    mut connection: ConnectionManager,
    settings: &RedisSettings,
    wakes: &Wakes,
) -> redis::RedisResult<()> {
    let mut pipeline = redis::pipe();
    for (instance, orders) in wakes {
        let orders: Vec<String> = orders.iter().map(OrderId::to_string).collect();
        let message = serde_json::Value::from(orders).to_string();
        let channel = settings.wake_channel(instance);
        pipeline.publish(channel, message).ignore();
    }
    pipeline.query_async(&mut connection).await
}
