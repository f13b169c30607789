//! The partitions this worker owns: what waits on each, which are busy, how far each is done.
//!
//! A partition is in at most one running batch, so batches that run at once never share an order
//! (an order's records have one key, and so one partition).

use crate::offsets::OffsetLedger;
use crate::record::Place;
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
    owned: BTreeMap<i32, Partition<W>>,
    /// The partition that gives first next time, so that none starves.
    turn: i32,
}

#[derive(Debug)]
struct Partition<W> {
    generation: u64,
    offsets: OffsetLedger,
    waiting: VecDeque<W>,
    busy: bool,
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
            busy: false,
        };
        self.owned.insert(number, fresh);
    }

    /// No longer ours: forgets what waits and what is open. Answers where the next owner starts.
    pub fn revoke(&mut self, number: i32) -> Option<PartitionOffset> {
        let watermark = self.owned.remove(&number)?.offsets.watermark()?;
        Some((number, watermark))
    }

    /// Drops what waits; what is running goes on.
    pub fn stop_taking(&mut self, number: i32) {
        if let Some(partition) = self.owned.get_mut(&number) {
            partition.waiting.clear();
        }
    }

    /// Opens the place of a record in hand. `false`: the partition is not ours under that
    /// generation, and the record is somebody else's to process.
    pub fn receive(&mut self, place: Place) -> bool {
        let owned = self.of(place);
        if let Some(partition) = owned {
            partition.offsets.receive(place.offset);
            return true;
        }
        false
    }

    /// Appends to what waits on the place's partition.
    pub fn wait(&mut self, place: Place, work: W) {
        if let Some(partition) = self.of(place) {
            partition.waiting.push_back(work);
        }
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
            if partition.busy || partition.waiting.is_empty() {
                continue;
            }
            let count = partition.waiting.len().min(max - works.len());
            works.extend(partition.waiting.drain(..count));
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
        if let Some(partition) = self.of(place) {
            partition.offsets.done(place.offset);
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

    /// A commit of these partitions did not reach the broker.
    pub fn commit_failed(&mut self, numbers: &[i32]) {
        for number in numbers {
            if let Some(partition) = self.owned.get_mut(number) {
                partition.offsets.commit_failed();
            }
        }
    }

    /// How many partitions are owned.
    pub fn count(&self) -> usize {
        self.owned.len()
    }

    /// How many records are open over all partitions.
    pub fn open(&self) -> usize {
        self.owned.values().map(|p| p.offsets.open()).sum()
    }

    fn of(&mut self, place: Place) -> Option<&mut Partition<W>> {
        let owned = self.owned.get_mut(&place.partition);
        owned.filter(|p| p.generation == place.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32, offset: i64) -> Place {
        Place {
            partition,
            generation: 1,
            offset,
        }
    }

    fn filled(partitions: i32, records: i64) -> Partitions<Place> {
        let mut all = Partitions::default();
        for number in 0..partitions {
            all.assign(number, 1);
            for offset in 0..records {
                assert!(all.receive(place(number, offset)));
                all.wait(place(number, offset), place(number, offset));
            }
        }
        all
    }

    #[test]
    fn batches_at_once_never_share_a_partition_and_all_get_their_turn() {
        let mut all = filled(3, 10);
        let (first, first_busy) = all.take(8);
        let (second, _) = all.take(15);
        assert!(first.iter().all(|p| p.partition == 0));
        assert!(second.iter().all(|p| p.partition != 0));
        assert_eq!(all.take(8).0.len(), 0);
        all.release(&first_busy);
        assert_eq!(all.take(8).0, [place(0, 8), place(0, 9)]);
    }

    #[test]
    fn what_was_read_under_an_earlier_assignment_counts_for_nothing() {
        let mut all = filled(1, 2);
        all.done(place(0, 0));
        assert_eq!(all.revoke(0), Some((0, 1)));
        all.assign(0, 2);
        assert!(!all.receive(place(0, 1)));
        all.done(place(0, 1));
        assert_eq!(all.take_commits(), []);
    }

    #[test]
    fn a_busy_partition_that_came_back_is_not_busy() {
        let mut all = filled(1, 2);
        let (_, busy) = all.take(2);
        all.revoke(0);
        all.assign(0, 2);
        assert!(!all.is_busy(0));
        assert_eq!(all.take(2).0, []);
        all.release(&busy);
        assert!(!all.owns(place(0, 0)));
    }
}
