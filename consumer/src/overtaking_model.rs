//! A partition, its part of the retry topic and its worker, as a model around the very code that
//! decides. It notices when a record overtakes another of its order.

use crate::backoff::Backoff;
use crate::detour::{Road, Way};
use crate::parked::{Held, ParkedOrders};
use crate::partitions::{Busy, Partitions};
use crate::record::{Place, Source};
use domain::OrderId;
use saga::ShardId;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Instant;

const SHARD: ShardId = ShardId(0);
const ROOM: usize = 4;
const BACKOFF: Backoff = Backoff {
    min_ms: 100,
    max_ms: 1_000,
};

/// A record: the nth of its order.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    order: u8,
    nth: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Work {
    said: Said,
    place: Place,
}

/// What one worker knows.
pub struct Memory {
    pub partitions: Partitions<Work>,
    parked: ParkedOrders<Work>,
    moves: VecDeque<Work>,
    set: Option<Vec<Work>>,
    batch: Option<(Vec<Work>, Vec<Busy>)>,
    retry: Option<Vec<Work>>,
    read: (usize, usize),
}

/// Which way a record goes.
pub type Rule = fn(Source, Held, Road) -> Way;

/// What outlives a worker.
pub struct World {
    rule: Rule,
    /// Whether a set may hold two records of an order.
    mixed_sets: bool,
    overtaken: bool,
    pub now: Instant,
    generation: u64,
    pub commands: Vec<Said>,
    pub retry: Vec<Said>,
    pub committed: (usize, usize),
    /// Sent by a worker that died, and not there yet.
    pub late: Vec<Said>,
    pub ended: BTreeMap<u8, HashSet<usize>>,
    pub memory: Memory,
}

fn id(order: u8) -> OrderId {
    OrderId::from_bytes([order; 16])
}

impl World {
    /// Nothing happened yet.
    pub fn new(rule: Rule, mixed_sets: bool) -> Self {
        let memory = Memory {
            partitions: Partitions::default(),
            parked: ParkedOrders::new(BACKOFF),
            moves: VecDeque::new(),
            set: None,
            batch: None,
            retry: None,
            read: (0, 0),
        };
        let mut world = Self {
            rule,
            mixed_sets,
            overtaken: false,
            now: Instant::now(),
            generation: 0,
            commands: Vec::new(),
            retry: Vec::new(),
            committed: (0, 0),
            late: Vec::new(),
            ended: BTreeMap::new(),
            memory,
        };
        world.take_over();
        world
    }

    /// Another worker, which knows only what was committed.
    fn take_over(&mut self) {
        self.generation += 1;
        let mut partitions = Partitions::default();
        partitions.assign(0, self.generation);
        let parts = [(SHARD, self.committed.1 as i64, self.retry.len() as i64)];
        partitions.know(0, self.generation, &parts);
        self.memory = Memory {
            partitions,
            parked: ParkedOrders::new(BACKOFF),
            moves: VecDeque::new(),
            set: None,
            batch: None,
            retry: None,
            read: self.committed,
        };
    }

    pub fn crash(&mut self) {
        let sent = self.memory.set.take().unwrap_or_default();
        self.late.extend(sent.iter().map(|work| work.said));
        self.take_over();
    }

    pub fn produce(&mut self, order: u8) {
        let of_order = self.commands.iter().filter(|said| said.order == order);
        let nth = of_order.count();
        self.commands.push(Said { order, nth });
    }

    pub fn receive(&mut self, source: Source) {
        let (log, read) = match source {
            Source::Commands => (&self.commands, &mut self.memory.read.0),
            Source::Retry(_) => (&self.retry, &mut self.memory.read.1),
        };
        let Some(said) = log.get(*read).copied() else {
            return;
        };
        let place = Place {
            partition: 0,
            generation: self.generation,
            source,
            offset: *read as i64,
        };
        *read += 1;
        assert!(self.memory.partitions.receive(place, 0));
        self.memory.partitions.wait(place, Work { said, place });
    }

    pub fn read_retry(&mut self) {
        let open = self
            .memory
            .partitions
            .detours()
            .next()
            .map(|(_, _, d)| d.offsets.open());
        if open.is_some_and(|open| open < ROOM) {
            self.receive(Source::Retry(SHARD));
        }
    }

    fn send(&mut self, work: Work) {
        self.memory
            .partitions
            .detour(work.place, SHARD)
            .unwrap()
            .send();
        self.memory.moves.push_back(work);
    }

    /// As the worker's `start_batches` and `sort_out` do.
    pub fn start(&mut self, max: usize) {
        let parked = &self.memory.parked;
        let shut = parked.is_shut(SHARD);
        let over = self.memory.partitions.end_closings(|_| shut, self.now);
        over.into_iter().for_each(|work| self.send(work));
        if self.memory.batch.is_some() {
            return;
        }
        let (works, busy) = self.memory.partitions.take(max);
        let mut free = Vec::new();
        for work in works {
            let (place, order) = (work.place, id(work.said.order));
            let detour = self.memory.partitions.detour(place, SHARD).unwrap();
            if place.source != Source::Commands {
                detour.leave_line();
            }
            let road = detour.road(shut, self.now);
            match (self.rule)(place.source, self.memory.parked.held(order, SHARD), road) {
                Way::Run => free.push(work),
                Way::Park => {
                    let turn = (place.source, place.offset);
                    self.memory
                        .parked
                        .park_untried((order, SHARD), turn, work, self.now);
                }
                Way::Detour => self.send(work),
                Way::Wait => detour.wait(work),
            }
        }
        if free.is_empty() {
            self.memory.partitions.release(&busy);
        } else {
            self.memory.batch = Some((free, busy));
        }
    }

    /// An order fails when its bit is not set.
    fn settle(&mut self, works: Vec<Work>, bits: u8) {
        let passes = |work: &Work| bits >> (work.said.order % 8) & 1 == 1;
        let reached = works.iter().any(passes);
        self.memory.parked.report(SHARD, reached, (self.now, 1.0));
        for work in works {
            let place = work.place;
            if !passes(&work) {
                let turn = (place.source, place.offset);
                let order = (id(work.said.order), SHARD);
                self.memory
                    .parked
                    .park_failed(order, turn, work, (self.now, 1.0));
                continue;
            }
            let Said { order, nth } = work.said;
            let ended = self.ended.entry(order).or_default();
            self.overtaken |= !(0..nth).all(|before| ended.contains(&before));
            ended.insert(nth);
            self.memory.partitions.done(place);
        }
    }

    pub fn end_batch(&mut self, bits: u8) {
        if let Some((works, busy)) = self.memory.batch.take() {
            self.settle(works, bits);
            self.memory.partitions.release(&busy);
        }
    }

    pub fn start_retry(&mut self) {
        if let Some((_, works)) = self.memory.parked.take_due(self.now, 3, 1) {
            self.memory.retry = Some(works);
        }
    }

    pub fn end_retry(&mut self, bits: u8) {
        if let Some(works) = self.memory.retry.take() {
            let tried: Vec<OrderId> = works.iter().map(|work| id(work.said.order)).collect();
            self.settle(works, bits);
            self.memory.parked.retried(SHARD, &tried, self.now);
        }
    }

    pub fn move_parked(&mut self) {
        let mut moving = self.memory.parked.take_parked_before(self.now);
        moving.sort_by_key(|(_, work)| work.place);
        moving.into_iter().for_each(|(_, work)| self.send(work));
    }

    pub fn send_set(&mut self) {
        if self.memory.set.is_some() {
            return;
        }
        let mut orders = HashSet::new();
        let mixed = self.mixed_sets;
        let fresh = |work: &&Work| orders.insert(work.said.order) || mixed;
        let count = self.memory.moves.iter().take(3).take_while(fresh).count();
        self.memory.set = Some(self.memory.moves.drain(..count).collect());
    }

    /// Its records may stand there in any order.
    pub fn acknowledge(&mut self, backwards: bool) {
        let mut set = self.memory.set.take().unwrap_or_default();
        if backwards {
            set.reverse();
        }
        for Work { said, place } in set {
            let offset = self.retry.len() as i64;
            self.retry.push(said);
            self.memory
                .partitions
                .detour(place, SHARD)
                .unwrap()
                .sent(offset);
            self.memory.partitions.done(place);
        }
    }

    pub fn commit(&mut self) {
        for (_, offset) in self.memory.partitions.take_commits() {
            self.committed.0 = offset as usize;
        }
        for part in self.memory.partitions.take_part_commits() {
            self.committed.1 = part.offset as usize;
        }
    }

    /// Whether a record overtook another of its order.
    pub fn overtaken(&self) -> bool {
        self.overtaken
    }
}
