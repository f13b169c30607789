//! Looks orders up in sets: lookups that come while a statement runs share the next one. Nobody
//! waits for company: a lookup that finds its shard idle is asked at once.

use domain::OrderId;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{Lookup, OrderRow, Stores};
use tokio::sync::oneshot;

/// Section `[lookup]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupSettings {
    /// Most order ids in one statement.
    pub batch_max: usize,
    /// How long a statement may take, in milliseconds, and how long those wait who can do without.
    pub timeout_ms: u64,
    /// How long a shard that failed is left alone, in milliseconds.
    pub pause_ms: u64,
}

/// What is known of an order.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// Its row.
    Row(Arc<OrderRow>),
    /// Its shard has no such row.
    Missing,
    /// Its shard does not answer.
    Unreachable,
}

/// One lane for each order shard.
#[derive(Clone)]
pub(crate) struct OrderLookup(Arc<Inner>);

struct Inner {
    stores: Stores,
    settings: LookupSettings,
    started: Instant,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    queue: Mutex<Queue>,
    down: AtomicBool,
    asked_ms: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    running: bool,
}

struct Waiting {
    id: OrderId,
    answer: oneshot::Sender<Found>,
}

impl OrderLookup {
    pub(crate) fn new(stores: Stores, settings: &LookupSettings) -> Self {
        let shards = stores.orders.shards();
        let lanes = shards.iter().map(|_| Lane::default()).collect();
        Self(Arc::new(Inner {
            stores,
            settings: settings.clone(),
            started: Instant::now(),
            lanes,
        }))
    }

    /// Asks the order's shard.
    pub(crate) async fn find(&self, id: OrderId) -> Found {
        let lane = self.lane_of(id);
        self.enqueue(lane, id).await.unwrap_or(Found::Unreachable)
    }

    /// Asks the order's shard unless it was down a moment ago: for those who can do without. They
    /// wait for one time-out at most, also where others stand before them.
    pub(crate) async fn find_unless_down(&self, id: OrderId) -> Found {
        let lane = self.lane_of(id);
        if !self.0.lanes[lane].down.load(Ordering::Relaxed) {
            let timeout = Duration::from_millis(self.0.settings.timeout_ms);
            let found = tokio::time::timeout(timeout, self.find(id)).await;
            return found.unwrap_or(Found::Unreachable);
        }
        let asked_ms = self.0.lanes[lane].asked_ms.load(Ordering::Relaxed);
        if self.0.now_ms() >= asked_ms + self.0.settings.pause_ms {
            // Nobody waits for it: it only finds out whether the shard is back.
            drop(self.enqueue(lane, id));
        }
        Found::Unreachable
    }

    fn lane_of(&self, id: OrderId) -> usize {
        usize::from(self.0.stores.routing().order_shard(id).index)
    }

    fn enqueue(&self, lane: usize, id: OrderId) -> oneshot::Receiver<Found> {
        let (answer, receiver) = oneshot::channel();
        let mut queue = self.0.lanes[lane].queue();
        queue.waiting.push(Waiting { id, answer });
        if !queue.running {
            queue.running = true;
            self.0.lanes[lane]
                .asked_ms
                .store(self.0.now_ms(), Ordering::Relaxed);
            tokio::spawn(Arc::clone(&self.0).run(lane));
        }
        receiver
    }
}

impl Inner {
    /// Statement after statement until nobody waits.
    async fn run(self: Arc<Self>, lane: usize) {
        while let Some(batch) = self.lanes[lane].take(self.settings.batch_max) {
            metrics::histogram!("order_api_lookup_batch_size").record(batch.len() as f64);
            let ids: Vec<OrderId> = batch.iter().map(|waiting| waiting.id).collect();
            let found = self.ask(&self.lanes[lane], &ids).await;
            for (waiting, found) in batch.into_iter().zip(found) {
                // Who hung up does not hear it.
                let _ = waiting.answer.send(found);
            }
        }
    }

    async fn ask(&self, lane: &Lane, ids: &[OrderId]) -> Vec<Found> {
        lane.asked_ms.store(self.now_ms(), Ordering::Relaxed);
        let timeout = Duration::from_millis(self.settings.timeout_ms);
        let asked = tokio::time::timeout(timeout, self.ask_twice(lane, ids)).await;
        let cause = match asked {
            Ok(lookups) => match first_cause(&lookups) {
                None => {
                    lane.down.store(false, Ordering::Relaxed);
                    return lookups.into_iter().map(Found::from).collect();
                }
                Some(cause) => cause,
            },
            Err(_) => format!("no answer within {} ms", timeout.as_millis()),
        };
        if !lane.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(cause, "An order shard cannot be asked.");
        }
        ids.iter().map(|_| Found::Unreachable).collect()
    }

    /// A pooled connection may be dead since its server restarted; the second one is fresh.
    async fn ask_twice(&self, lane: &Lane, ids: &[OrderId]) -> Vec<Lookup> {
        let lookups = self.stores.orders.find(ids).await;
        if first_cause(&lookups).is_none() || lane.down.load(Ordering::Relaxed) {
            return lookups;
        }
        self.stores.orders.find(ids).await
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, or none and the lane is idle.
    fn take(&self, batch_max: usize) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        if queue.waiting.is_empty() {
            queue.running = false;
            return None;
        }
        let count = queue.waiting.len().min(batch_max);
        Some(queue.waiting.drain(..count).collect())
    }
}

impl From<Lookup> for Found {
    fn from(lookup: Lookup) -> Self {
        match lookup {
            Lookup::Found(row) => Self::Row(Arc::from(row)),
            Lookup::Missing => Self::Missing,
            Lookup::Unreachable(_) | Lookup::Unreadable(_) => Self::Unreachable,
        }
    }
}

fn first_cause(lookups: &[Lookup]) -> Option<String> {
    lookups.iter().find_map(|lookup| match lookup {
        Lookup::Unreachable(cause) => Some(cause.clone()),
        Lookup::Found(_) | Lookup::Missing | Lookup::Unreadable(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::StoresSettings;

    fn lookup(timeout_ms: u64) -> OrderLookup {
        let nowhere = || vec!["mysql://u:p@127.0.0.1:9/x".to_owned()];
        let stores = StoresSettings {
            order_shards: nowhere(),
            account_shards: nowhere(),
            ..StoresSettings::default()
        };
        let settings = LookupSettings {
            batch_max: 1,
            timeout_ms,
            pause_ms: 1,
        };
        OrderLookup::new(Stores::connect(&stores).unwrap(), &settings)
    }

    #[tokio::test]
    async fn who_can_do_without_never_waits_for_a_long_queue() {
        let lookup = lookup(20);
        // As while a statement runs that never ends.
        lookup.0.lanes[0].queue().running = true;
        let begun = Instant::now();
        let found = lookup.find_unless_down(OrderId::from_bytes([9; 16])).await;
        assert!(matches!(found, Found::Unreachable), "{found:?}");
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(20), "{waited:?}");
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
}
