//! How much of what came back from the retry topic may be in hand: each order shard has its own room.

use crate::record::Record;
use saga::ShardId;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The rooms, one an order shard. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct RetryRooms {
    rooms: Arc<[Arc<Semaphore>]>,
    each_kib_max: u32,
}

impl RetryRooms {
    /// Empty rooms for so many shards.
    pub fn new(shards: u16, each_kib_max: u32) -> Self {
        let room = |_| Arc::new(Semaphore::new(each_kib_max as usize));
        Self {
            rooms: (0..shards).map(room).collect(),
            each_kib_max,
        }
    }

    /// The room that this record takes until the permit is dropped, if there is so much.
    pub fn take(&self, shard: ShardId, record: &Record) -> Option<OwnedSemaphorePermit> {
        let size = record.size_kib().min(self.each_kib_max);
        let room = self.rooms.get(usize::from(shard.0))?;
        room.clone().try_acquire_many_owned(size).ok()
    }

    /// Whether at least half of a shard's room is free.
    pub fn has_much(&self, shard: ShardId) -> bool {
        let free = self.rooms.get(usize::from(shard.0));
        free.map_or(0, |room| room.available_permits()) >= self.each_kib_max as usize / 2
    }

    /// KiB taken in all rooms together.
    pub fn taken_kib(&self) -> usize {
        let all = self.each_kib_max as usize * self.rooms.len();
        let free = self.rooms.iter().map(|room| room.available_permits());
        all - free.sum::<usize>()
    }
}
