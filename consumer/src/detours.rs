//! The detours of all partitions together: what may be committed on the retry topic, and which
//! closings end.

use crate::detour::{Detour, Road};
use crate::partitions::Partitions;
use saga::ShardId;
use std::time::Instant;

/// An offset to commit on one part of the retry topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOffset {
    /// The partition of the commands' topic beside which it is.
    pub partition: i32,
    /// Its order shard.
    pub shard: ShardId,
    /// The offset.
    pub offset: i64,
}

/// The detours of all partitions together.
impl<W> Partitions<W> {
    /// What may be committed on the retry topic and was not taken before.
    pub fn take_part_commits(&mut self) -> Vec<PartOffset> {
        let commit = |(partition, shard, detour): (i32, ShardId, &mut Detour<W>)| {
            let offset = detour.offsets.take_commit()?;
            Some(PartOffset {
                partition,
                shard,
                offset,
            })
        };
        self.detours_mut().filter_map(commit).collect()
    }

    /// What was taken of all parts is due again.
    pub fn commit_parts_again(&mut self) {
        self.detours_mut()
            .for_each(|(_, _, detour)| detour.offsets.commit_again());
    }

    /// From where the next owner of these partitions has to read their parts.
    pub fn part_watermarks(&self, partitions: &[i32]) -> Vec<PartOffset> {
        let leaving = self.detours().filter(|(n, _, _)| partitions.contains(n));
        let watermark = |(partition, shard, detour): (i32, ShardId, &Detour<W>)| {
            let offset = detour.offsets.watermark()?;
            Some(PartOffset {
                partition,
                shard,
                offset,
            })
        };
        leaving.filter_map(watermark).collect()
    }

    /// The last commits that the broker acknowledged. Answers how many later ones were lost: they
    /// are due again.
    pub fn parts_acknowledged(&mut self, commits: &[PartOffset]) -> usize {
        let lost = |(partition, shard, detour): &mut (i32, ShardId, &mut Detour<W>)| {
            let mut commits = commits.iter();
            let commit = commits.find(|at| (at.partition, at.shard) == (*partition, *shard));
            commit.is_some_and(|at| detour.offsets.acknowledged(at.offset))
        };
        self.detours_mut()
            .map(|mut at| lost(&mut at))
            .filter(|lost| *lost)
            .count()
    }

    /// Ends the waiting for closings that succeeded or cannot. Answers the works that have to take
    /// the detour after all, in their order.
    pub fn end_closings(&mut self, shut: impl Fn(ShardId) -> bool, now: Instant) -> Vec<W> {
        let mut detoured = Vec::new();
        for partition in self.owned.values_mut() {
            for (shard, detour) in partition.detours.iter_mut().flatten() {
                let (road, works) = detour.release(shut(*shard), now);
                match road {
                    Road::Straight => works
                        .into_iter()
                        .rev()
                        .for_each(|work| partition.waiting.push_front(work)),
                    Road::Detour | Road::Closing => detoured.extend(works),
                }
            }
        }
        detoured
    }

    /// When [`Self::end_closings`] has to look again.
    pub fn closings_end(&self) -> Option<Instant> {
        self.detours().filter_map(|(_, _, d)| d.give_up_at()).min()
    }

    /// When the oldest record in hand that came back was accepted, in Unix milliseconds.
    pub fn oldest_returned_ms(&mut self) -> Option<i64> {
        self.detours_mut()
            .filter_map(|(_, _, d)| d.oldest_ms())
            .min()
    }

    /// Every detour of the owned partitions.
    pub fn detours(&self) -> impl Iterator<Item = (i32, ShardId, &Detour<W>)> {
        self.owned.iter().flat_map(|(number, partition)| {
            let detours = partition.detours.iter().flatten();
            detours.map(|(shard, detour)| (*number, *shard, detour))
        })
    }

    fn detours_mut(&mut self) -> impl Iterator<Item = (i32, ShardId, &mut Detour<W>)> {
        self.owned.iter_mut().flat_map(|(number, partition)| {
            let detours = partition.detours.iter_mut().flatten();
            detours.map(|(shard, detour)| (*number, *shard, detour))
        })
    }
}
