//! The partitions this worker owns: what waits on each, which are busy, how far each is done.
//!
//! A partition is in at most one running batch, so batches that run at once never share an order
//! (an order's records have one key, and so one partition). What came back from the retry topic
//! waits in a line of its own and is taken first, though never more than half while both lines wait.

use crate::detour::Detour;
use crate::offsets::OffsetLedger;
use crate::record::{Place, Source};
use saga::ShardId;
use std::collections::{BTreeMap, VecDeque};

/// A partition and an offset, such as one to commit.
pub type PartitionOffset = (i32, i64);

/// A partition that a running batch keeps busy, under the assignment it began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    partition: i32,
    generation: u64,
}

/// The owned partitions, with work of type `W` waiting on them.
#[derive(Debug)]
pub struct Partitions<W> {
    pub(crate) owned: BTreeMap<i32, Partition<W>>,
    /// The partition that gives first next time, so that none starves.
    turn: i32,
}

#[derive(Debug)]
pub(crate) struct Partition<W> {
    generation: u64,
    offsets: OffsetLedger,
    pub(crate) waiting: VecDeque<W>,
    returned: VecDeque<W>,
    /// `None` until it is known what stands on the retry topic: nothing is taken before.
    pub(crate) detours: Option<BTreeMap<ShardId, Detour<W>>>,
    busy: bool,
    leaving: bool,
}

impl<W> Default for Partitions<W> {
    fn default() -> Self {
        Self {
            owned: BTreeMap::new(),
            turn: 0,
        }
    }
}

impl<W> Partitions<W> {
    /// From now on this partition is ours, under this generation.
    pub fn assign(&mut self, number: i32, generation: u64) {
        let fresh = Partition {
            generation,
            offsets: OffsetLedger::default(),
            waiting: VecDeque::new(),
            returned: VecDeque::new(),
            detours: None,
            busy: false,
            leaving: false,
        };
        self.owned.insert(number, fresh);
    }

    /// What stands on the retry topic beside a partition, from the next offset to the end.
    pub fn know(&mut self, number: i32, generation: u64, parts: &[(ShardId, i64, i64)]) {
        let owned = self.owned.get_mut(&number);
        if let Some(partition) = owned.filter(|p| p.generation == generation) {
            let parts = parts.iter();
            let detours = parts.map(|(shard, next, end)| (*shard, Detour::new(*next, *end)));
            partition.detours = Some(detours.collect());
        }
    }

    /// No longer ours: forgets what waits and what is open. Answers where the next owner starts.
    pub fn revoke(&mut self, number: i32) -> Option<PartitionOffset> {
        let watermark = self.owned.remove(&number)?.offsets.watermark()?;
        Some((number, watermark))
    }

    /// Drops what waits; what is running goes on.
    pub fn stop_taking(&mut self, number: i32) {
        if let Some(partition) = self.owned.get_mut(&number) {
            partition.leaving = true;
            partition.waiting.clear();
            partition.returned.clear();
            let detours = partition.detours.iter_mut().flatten();
            detours.for_each(|(_, detour)| detour.clear());
        }
    }

    /// Opens the place of a record in hand. `false`: the partition is not ours under that
    /// generation, and the record is somebody else's to process.
    pub fn receive(&mut self, place: Place, accepted_ms: i64) -> bool {
        let Some(partition) = self.of(place).filter(|p| !p.leaving) else {
            return false;
        };
        match place.source {
            Source::Commands => partition.offsets.receive(place.offset),
            Source::Retry(shard) => match partition.detour(shard) {
                Some(detour) => detour.receive(place.offset, accepted_ms),
                None => return false,
            },
        }
        true
    }

    /// Appends to what waits on the place's partition.
    pub fn wait(&mut self, place: Place, work: W) {
        let Some(partition) = self.of(place) else {
            return;
        };
        match place.source {
            Source::Commands => partition.waiting.push_back(work),
            Source::Retry(shard) => {
                if let Some(detour) = partition.detour(shard) {
                    detour.line_up();
                }
                partition.returned.push_back(work);
            }
        }
    }

    /// How many works wait that a batch may take.
    pub fn ready(&self) -> usize {
        let free = self.owned.values().filter(|p| p.is_free());
        free.map(|p| p.waiting.len() + p.returned.len()).sum()
    }

    /// Takes up to `max` works from partitions that are not busy, whole partitions in turn, and
    /// makes these busy. Answers the works and their partitions.
    pub fn take(&mut self, max: usize) -> (Vec<W>, Vec<Busy>) {
        let (mut works, mut busy) = (Vec::new(), Vec::new());
        let after: Vec<i32> = self.owned.range(self.turn..).map(|(n, _)| *n).collect();
        let before = self.owned.range(..self.turn).map(|(n, _)| *n);
        for number in after.into_iter().chain(before).collect::<Vec<_>>() {
            if works.len() >= max {
                break;
            }
            let Some(partition) = self.owned.get_mut(&number) else {
                continue;
            };
            let room = max - works.len();
            if !partition.is_free() || !partition.give(room, &mut works) {
                continue;
            }
            partition.busy = true;
            busy.push(Busy {
                partition: number,
                generation: partition.generation,
            });
            self.turn = number + 1;
        }
        (works, busy)
    }

    /// The batch that kept these partitions busy has ended.
    pub fn release(&mut self, busy: &[Busy]) {
        for busy in busy {
            let owned = self.owned.get_mut(&busy.partition);
            if let Some(partition) = owned.filter(|p| p.generation == busy.generation) {
                partition.busy = false;
            }
        }
    }

    /// The outcome of this place is durable.
    pub fn done(&mut self, place: Place) {
        let Some(partition) = self.of(place) else {
            return;
        };
        match place.source {
            Source::Commands => partition.offsets.done(place.offset),
            Source::Retry(shard) => {
                if let Some(detour) = partition.detour(shard) {
                    detour.offsets.done(place.offset);
                }
            }
        }
    }

    /// Whether the partition is in a running batch.
    pub fn is_busy(&self, number: i32) -> bool {
        self.owned.get(&number).is_some_and(|p| p.busy)
    }

    /// Whether the place is still ours.
    pub fn owns(&self, place: Place) -> bool {
        let owned = self.owned.get(&place.partition);
        owned.is_some_and(|p| p.generation == place.generation)
    }

    /// What may be committed and was not taken before.
    pub fn take_commits(&mut self) -> Vec<PartitionOffset> {
        let owned = self.owned.iter_mut();
        owned
            .filter_map(|(number, p)| Some((*number, p.offsets.take_commit()?)))
            .collect()
    }

    /// The last commits that the broker acknowledged. Answers which partitions' later commits were
    /// lost: they are due again.
    pub fn acknowledged(&mut self, commits: &[PartitionOffset]) -> Vec<i32> {
        let lost = |(number, offset): &PartitionOffset| {
            let partition = self.owned.get_mut(number)?;
            partition.offsets.acknowledged(*offset).then_some(*number)
        };
        commits.iter().filter_map(lost).collect()
    }

    /// How many partitions are owned.
    pub fn count(&self) -> usize {
        self.owned.len()
    }

    /// How many records of the commands' topic are open over all partitions.
    pub fn open(&self) -> usize {
        self.owned.values().map(|p| p.offsets.open()).sum()
    }

    /// What is on the way over the retry topic beside this place's partition, for one shard.
    pub fn detour(&mut self, place: Place, shard: ShardId) -> Option<&mut Detour<W>> {
        self.of(place)?.detour(shard)
    }

    fn of(&mut self, place: Place) -> Option<&mut Partition<W>> {
        let owned = self.owned.get_mut(&place.partition);
        owned.filter(|p| p.generation == place.generation)
    }
}

impl<W> Partition<W> {
    /// Whether a batch may take from it.
    fn is_free(&self) -> bool {
        !self.busy && self.detours.is_some()
    }

    fn detour(&mut self, shard: ShardId) -> Option<&mut Detour<W>> {
        self.detours.as_mut()?.get_mut(&shard)
    }

    /// Gives up to `room` works; `false` when there is none.
    fn give(&mut self, room: usize, works: &mut Vec<W>) -> bool {
        let half = room - room / 2;
        let fair = half.max(room.saturating_sub(self.waiting.len()));
        let returned = self.returned.len().min(fair);
        works.extend(self.returned.drain(..returned));
        let first = self.waiting.len().min(room - returned);
        works.extend(self.waiting.drain(..first));
        returned + first > 0
    }
}
