//! Orders whose log shard could not be reached. Their records are the only proof of them, so they
//! are tried again until the log has them; everything else goes on.
//!
//! Each order waits by its own backoff, and its later records queue behind it. A shard at which
//! every order of a batch failed is *shut*: new orders of it are parked without being tried, and
//! only a few are sent to probe it, until one gets through. So a dead shard costs the others nothing
//! but the batches that found it out, and one stuck row does not stop its shard.

use crate::backoff::Backoff;
use crate::record::Source;
use domain::OrderId;
use saga::ShardId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// Where a record stands among those of its order, which lie on one partition: what came back from
/// the retry topic is older.
pub type Turn = (Source, i64);

/// Why a new record of an order cannot be tried at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It can.
    Free,
    /// Its shard is shut.
    Shut,
    /// Records of its order are parked, all of which came back from the retry topic.
    BehindReturned,
    /// Records of its order are parked, and the last came from the commands' topic.
    BehindFirst,
}

/// Parked orders with their records' works of type `W`, by shard.
#[derive(Debug)]
pub struct ParkedOrders<W> {
    backoff: Backoff,
    orders: HashMap<OrderId, ParkedOrder<W>>,
    shards: BTreeMap<ShardId, ShardWait>,
}

#[derive(Debug)]
struct ParkedOrder<W> {
    shard: ShardId,
    works: BTreeMap<Turn, W>,
    failures: u32,
    since: Instant,
    /// `None` while its works are being tried.
    due: Option<Instant>,
    /// Where the last of the works came from that are being tried.
    trying: Option<Source>,
}

#[derive(Debug, Default)]
struct ShardWait {
    due: BTreeSet<(Instant, OrderId)>,
    /// Its retry batch is running.
    busy: bool,
    shut: Option<Shut>,
}

#[derive(Debug, Clone, Copy)]
struct Shut {
    failures: u32,
    probe_at: Instant,
}

impl<W> ParkedOrders<W> {
    /// Nothing parked.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            orders: HashMap::new(),
            shards: BTreeMap::new(),
        }
    }

    /// Whether a new record of this order can be tried.
    pub fn held(&self, order: OrderId, shard: ShardId) -> Held {
        let Some(parked) = self.orders.get(&order) else {
            let shut = self.is_shut(shard);
            return if shut { Held::Shut } else { Held::Free };
        };
        let last = parked.works.last_key_value().map(|(turn, _)| turn.0);
        match last.max(parked.trying) {
            Some(Source::Commands) => Held::BehindFirst,
            Some(Source::Retry(_)) | None => Held::BehindReturned,
        }
    }

    /// Parks a record that came while its order was parked or its shard shut.
    pub fn park_untried(
        &mut self,
        (order, shard): (OrderId, ShardId),
        turn: Turn,
        work: W,
        now: Instant,
    ) {
        let first = !self.orders.contains_key(&order);
        self.entry(order, shard, now).works.insert(turn, work);
        if first {
            self.make_due(order, now);
        }
    }

    /// Parks a record whose try has just failed.
    pub fn park_failed(
        &mut self,
        (order, shard): (OrderId, ShardId),
        turn: Turn,
        work: W,
        (now, jitter): (Instant, f64),
    ) {
        let backoff = self.backoff;
        let parked = self.entry(order, shard, now);
        parked.works.insert(turn, work);
        if parked.due.is_none() {
            parked.failures += 1;
            let due = now + backoff.delay(parked.failures, jitter);
            self.make_due(order, due);
        }
    }

    /// The works of up to `max` due orders (`probe_max` of a shut shard) of one shard that has no
    /// retry running; it now has one, until [`Self::retried`].
    pub fn take_due(
        &mut self,
        now: Instant,
        max: usize,
        probe_max: usize,
    ) -> Option<(ShardId, Vec<W>)> {
        let ready = |wait: &ShardWait| wait.next_due().is_some_and(|due| due <= now);
        let (shard, wait) = self.shards.iter_mut().find(|(_, wait)| ready(wait))?;
        let (count, due_by) = match wait.shut {
            // A probe takes the first in line, due or not: the shard decides, not the order.
            Some(_) => (probe_max, None),
            None => (max, Some(now)),
        };
        let line = wait.due.iter();
        let line = line.take_while(|(due, _)| due_by.is_none_or(|by| *due <= by));
        let taken: Vec<_> = line.take(count).copied().collect();
        wait.busy = true;
        let shard = *shard;
        let mut works = Vec::new();
        for entry in taken {
            wait.due.remove(&entry);
            if let Some(parked) = self.orders.get_mut(&entry.1) {
                parked.due = None;
                parked.trying = parked.works.last_key_value().map(|(turn, _)| turn.0);
                works.extend(std::mem::take(&mut parked.works).into_values());
            }
        }
        Some((shard, works))
    }

    /// A retry at this shard has ended, its failures parked again: `tried` are its orders.
    pub fn retried(&mut self, shard: ShardId, tried: &[OrderId], now: Instant) {
        if let Some(wait) = self.shards.get_mut(&shard) {
            wait.busy = false;
        }
        for order in tried {
            let Some(parked) = self.orders.get_mut(order) else {
                continue;
            };
            parked.trying = None;
            match (parked.due, parked.works.is_empty()) {
                (None, true) => drop(self.orders.remove(order)),
                // Later records came meanwhile: their turn.
                (None, false) => self.make_due(*order, now),
                (Some(_), _) => {}
            }
        }
    }

    /// How a batch fared at a shard: `reached` when at least one order got through. Answers
    /// whether that shut or opened the shard.
    pub fn report(&mut self, shard: ShardId, reached: bool, when: (Instant, f64)) -> bool {
        let was_shut = self.is_shut(shard);
        match (reached, was_shut) {
            (true, false) => {}
            (true, true) => self.open(shard, when.0),
            (false, _) => self.shut(shard, when),
        }
        reached == was_shut
    }

    fn shut(&mut self, shard: ShardId, (now, jitter): (Instant, f64)) {
        let wait = self.shards.entry(shard).or_default();
        let failures = wait.shut.map_or(1, |shut| shut.failures.saturating_add(1));
        let probe_at = now + self.backoff.delay(failures, jitter);
        wait.shut = Some(Shut { failures, probe_at });
    }

    /// A shard that was shut answers again: nobody waits out his backoff.
    fn open(&mut self, shard: ShardId, now: Instant) {
        let Some(wait) = self.shards.get_mut(&shard) else {
            return;
        };
        wait.shut = None;
        for (_, order) in std::mem::take(&mut wait.due) {
            self.make_due(order, now);
        }
    }

    /// Takes out what came from the commands' topic, of the orders parked since `before` or earlier
    /// that are not being tried: each with how often its order was tried. What came back from the
    /// retry topic stays: it is still there.
    pub fn take_parked_before(&mut self, before: Instant) -> Vec<(u32, W)> {
        let (mut taken, shards) = (Vec::new(), &mut self.shards);
        self.orders.retain(|order, parked| {
            let Some(due) = parked.due.filter(|_| parked.since <= before) else {
                return true;
            };
            let moved = parked.works.split_off(&(Source::Commands, i64::MIN));
            taken.extend(moved.into_values().map(|work| (parked.failures, work)));
            if !parked.works.is_empty() {
                return true;
            }
            if let Some(wait) = shards.get_mut(&parked.shard) {
                wait.due.remove(&(due, *order));
            }
            false
        });
        taken
    }

    /// Forgets the works that are no longer ours.
    pub fn retain(&mut self, mut ours: impl FnMut(&W) -> bool) {
        let shards = &mut self.shards;
        self.orders.retain(|order, parked| {
            parked.works.retain(|_, work| ours(work));
            let Some(due) = parked.due.filter(|_| parked.works.is_empty()) else {
                return true;
            };
            if let Some(wait) = shards.get_mut(&parked.shard) {
                wait.due.remove(&(due, *order));
            }
            false
        });
    }

    /// When [`Self::take_due`] may next have something.
    pub fn next_due(&self) -> Option<Instant> {
        self.shards.values().filter_map(ShardWait::next_due).min()
    }

    /// How many orders are parked.
    pub fn count(&self) -> usize {
        self.orders.len()
    }

    /// How many shards are shut.
    pub fn shut_shards(&self) -> usize {
        self.shards.values().filter(|w| w.shut.is_some()).count()
    }

    /// Whether a shard is shut.
    pub fn is_shut(&self, shard: ShardId) -> bool {
        self.shards.get(&shard).is_some_and(|w| w.shut.is_some())
    }

    fn entry(&mut self, order: OrderId, shard: ShardId, now: Instant) -> &mut ParkedOrder<W> {
        self.orders.entry(order).or_insert_with(|| ParkedOrder {
            shard,
            works: BTreeMap::new(),
            failures: 0,
            since: now,
            due: None,
            trying: None,
        })
    }

    fn make_due(&mut self, order: OrderId, at: Instant) {
        if let Some(parked) = self.orders.get_mut(&order) {
            parked.due = Some(at);
            let wait = self.shards.entry(parked.shard).or_default();
            wait.due.insert((at, order));
        }
    }
}

impl ShardWait {
    fn next_due(&self) -> Option<Instant> {
        if self.busy {
            return None;
        }
        let (first, _) = self.due.first()?;
        Some(self.shut.map_or(*first, |shut| shut.probe_at))
    }
}
