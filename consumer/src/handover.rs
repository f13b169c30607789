//! How far the partitions are committed, and how they are handed over when they go away.

use crate::meters;
use crate::partitions::PartitionOffset;
use crate::worker::Worker;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How often all commits on the retry topic are made again; the broker keeps them for days.
const KEEP_PART_COMMITS: Duration = Duration::from_secs(6 * 3600);

/// Partitions that go away once their running batches have ended, or when the time is up.
pub(crate) struct Revocation {
    partitions: Vec<i32>,
    answer: SyncSender<Vec<PartitionOffset>>,
    pub until: Instant,
}

impl Worker {
    pub(crate) fn commit_soon(&mut self) {
        let interval = Duration::from_millis(self.settings.commit_interval_ms);
        self.commit_at
            .get_or_insert_with(|| Instant::now() + interval);
    }

    /// Some commits did not reach the broker, as when the group was changing meanwhile.
    pub(crate) fn commit_again(&mut self, lost: usize) {
        if lost > 0 {
            meters::commits_lost(lost);
            tracing::info!(lost, "Commits of offsets were lost; they are due again.");
            self.commit_soon();
        }
    }

    /// The retry topic's group has no members, and of such a group the broker forgets commits that
    /// are some days old: then all that ever stood there would be read again.
    pub(crate) fn keep_part_commits(&mut self) {
        if self.parts_kept_at.elapsed() > KEEP_PART_COMMITS {
            self.parts_kept_at = Instant::now();
            self.partitions.commit_parts_again();
            self.commit_parts();
        }
    }

    /// At once, and the retry topic's alone: of the commands nothing may have ended yet.
    pub(crate) fn commit_parts(&mut self) {
        if !self.stopping {
            let parts = self.partitions.take_part_commits();
            self.retry.commit(&parts);
        }
    }

    pub(crate) async fn commit_offsets(&mut self) {
        if self.commit_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.commit_at = None;
        if self.stopping {
            // Leaving the group commits, and nobody but the polling thread may hold the client now.
            return;
        }
        let parts = self.partitions.take_part_commits();
        let offsets = self.partitions.take_commits();
        if !parts.is_empty() || !offsets.is_empty() {
            self.faults.point("before-offset-commit").await;
        }
        self.retry.commit(&parts);
        if !offsets.is_empty() {
            self.stream.commit(&offsets);
        }
    }

    pub(crate) fn on_revoked(
        &mut self,
        partitions: Vec<i32>,
        answer: SyncSender<Vec<PartitionOffset>>,
    ) {
        for number in &partitions {
            self.partitions.stop_taking(*number);
            self.retry.unassign(*number);
            meters::lag_is_anothers(*number);
        }
        self.moves.forget(&partitions);
        self.revocations.push(Revocation {
            partitions,
            answer,
            until: Instant::now() + self.settings.revoke_wait(),
        });
    }

    /// What came back before it was let go of is not to be let go of any more: whoever waited for
    /// the answer has given up.
    pub(crate) fn forget_revocations(&mut self, assigned: &[i32]) {
        for revocation in &mut self.revocations {
            revocation
                .partitions
                .retain(|number| !assigned.contains(number));
        }
    }

    /// Lets go of partitions whose running work has ended, or whose time is up.
    pub(crate) fn let_go(&mut self) {
        for revocation in std::mem::take(&mut self.revocations) {
            let busy =
                |number: &i32| self.partitions.is_busy(*number) || self.moves.sends_from(*number);
            let running = revocation.partitions.iter().any(busy) || !self.burials.is_empty();
            if running && Instant::now() < revocation.until {
                self.revocations.push(revocation);
                continue;
            }
            let parts = self.partitions.part_watermarks(&revocation.partitions);
            self.retry.commit(&parts);
            for (partition, shard, _) in self.partitions.detours() {
                if revocation.partitions.contains(&partition) {
                    meters::retry_lag(partition, shard.0, 0);
                }
            }
            let numbers = revocation.partitions.iter();
            let offsets = numbers.filter_map(|number| self.partitions.revoke(*number));
            // The polling thread has given up waiting: then nothing is committed.
            let _ = revocation.answer.send(offsets.collect());
            let partitions = &self.partitions;
            self.parked
                .retain(|work| partitions.owns(work.record.place));
            self.newer.retain(|(place, _)| partitions.owns(*place));
        }
    }
}
