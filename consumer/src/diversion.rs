//! Which way each record goes, and how those that wait move to the retry topic.

use crate::batches::Work;
use crate::detour::{Road, Way, way};
use crate::meters;
use crate::moves::Moved;
use crate::record::Source;
use crate::retry_topic::Moving;
use crate::worker::Worker;
use saga::ShardId;
use std::time::{Duration, Instant};

/// How often it is looked for parked works that have to move.
const LOOK: Duration = Duration::from_millis(50);
/// How often the detours are measured.
const MEASURE: Duration = Duration::from_secs(1);

impl Worker {
    /// Answers the works to try; the others are parked, or on their way.
    pub(crate) fn sort_out(&mut self, works: Vec<Work>, now: Instant) -> Vec<Work> {
        let mut free = Vec::with_capacity(works.len());
        for work in works {
            let (place, shard) = (work.record.place, work.shard);
            if let Source::Retry(part) = place.source
                && let Some(detour) = self.partitions.detour(place, part)
            {
                detour.leave_line();
            }
            let (held, shut) = (
                self.parked.held(work.order.id, shard),
                self.parked.is_shut(shard),
            );
            let detour = self.partitions.detour(place, shard);
            let road = detour.map_or(Road::Straight, |detour| detour.road(shut, now));
            match way(place.source, held, road) {
                Way::Run => free.push(work),
                Way::Park => self.park_untried(work, now),
                Way::Detour => self.send_over_retry(work, 0),
                Way::Wait => {
                    if let Some(detour) = self.partitions.detour(place, shard) {
                        detour.wait(work);
                    }
                }
            }
        }
        free
    }

    fn park_untried(&mut self, work: Work, now: Instant) {
        let work = self.move_to_parking(work);
        let (order, place) = ((work.order.id, work.shard), work.record.place);
        let turn = (place.source, place.offset);
        self.parked.park_untried(order, turn, work, now);
    }

    /// Lets go on what waited for the end of a detour.
    pub(crate) fn end_closings(&mut self, now: Instant) {
        let parked = &self.parked;
        let detoured = self
            .partitions
            .end_closings(|shard| parked.is_shut(shard), now);
        for work in detoured {
            self.send_over_retry(work, 0);
        }
    }

    /// Moves what was parked long to the retry topic, or all when the parking is half full.
    pub(crate) fn move_parked(&mut self) {
        let now = Instant::now();
        if self.stopping || self.next_move().is_none_or(|at| at > now) {
            return;
        }
        self.moved_at = now;
        let taken = self.parking_taken_kib();
        let crowded = taken * 2 > self.settings.parked_kib_max as usize;
        let long = Duration::from_millis(self.settings.retry_topic_after_ms);
        let before = if crowded {
            Some(now)
        } else {
            now.checked_sub(long)
        };
        let Some(before) = before else { return };
        let mut moving = self.parked.take_parked_before(before);
        moving.sort_by_key(|(_, work)| work.record.place);
        for (attempts, work) in moving {
            self.send_over_retry(work, attempts);
        }
    }

    fn parking_taken_kib(&self) -> usize {
        self.settings.parked_kib_max as usize - self.parking.available_permits()
    }

    /// When it has to be looked again for what moves.
    pub(crate) fn next_move(&self) -> Option<Instant> {
        (self.parked.count() > 0).then(|| self.moved_at + LOOK)
    }

    fn send_over_retry(&mut self, work: Work, attempts: u32) {
        let (place, shard) = (work.record.place, work.shard);
        let Some(detour) = self.partitions.detour(place, shard) else {
            // No longer ours: its next owner gets the record again.
            return;
        };
        detour.send();
        self.detour_begins(shard);
        let cause = self.shard_causes.get(&shard).cloned();
        self.moves.push(Moving {
            work,
            attempts,
            cause: cause.unwrap_or_else(|| "behind others of its order shard".to_owned()),
        });
    }

    /// They stand on the retry topic: that is their outcome here.
    pub(crate) fn moved(&mut self, moved: Vec<Moved>) {
        meters::retry_put(moved.len());
        for Moved {
            place,
            shard,
            offset,
        } in moved
        {
            if let Some(detour) = self.partitions.detour(place, shard) {
                detour.sent(offset);
            }
            self.done(place);
        }
    }

    pub(crate) fn detour_begins(&mut self, shard: ShardId) {
        if self.detoured.insert(shard) {
            tracing::warn!(
                shard = shard.0,
                "An order shard's records begin to take the way over the retry topic."
            );
        }
    }

    pub(crate) fn measure_queues(&mut self) {
        if self.measured_at.elapsed() < MEASURE {
            return;
        }
        self.measured_at = Instant::now();
        meters::room_taken("read", self.stream.room_taken_kib());
        meters::room_taken("parked", self.parking_taken_kib());
        meters::room_taken("returned", self.retry.room_taken_kib());
        meters::retry_oldest(self.partitions.oldest_returned_ms());
        for (partition, shard, detour) in self.partitions.detours() {
            meters::retry_lag(partition, shard.0, detour.unfinished());
        }
        let used = |shard: ShardId| {
            let mut detours = self.partitions.detours();
            detours.any(|(_, other, detour)| other == shard && detour.in_use())
        };
        let (parked, shards) = (&self.parked, self.detoured.iter().copied());
        let ended = shards.filter(|shard| !parked.is_shut(*shard) && !used(*shard));
        for shard in ended.collect::<Vec<_>>() {
            self.detoured.remove(&shard);
            tracing::info!(
                shard = shard.0,
                "An order shard's records no longer take the way over the retry topic."
            );
        }
    }
}
