//! Where a row lives: 1,024 fixed slots by hash of the id, and the map from slots to shards.

use std::fmt;
use std::ops::Range;

/// How many slots there are, for ever.
pub const SLOTS: u16 = 1024;

/// The slot of an id: `CRC32(id) & 1023`, which MySQL and MariaDB compute alike.
pub fn slot_of(id: &[u8; 16]) -> u16 {
    (crc32fast::hash(id) & u32::from(SLOTS - 1)) as u16
}

/// Which kind of store a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreKind {
    /// Orders and their log.
    Orders,
    /// Accounts, holds and entries.
    Accounts,
}

/// A database's own name: which shard of which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardName {
    /// Which store.
    pub store: StoreKind,
    /// Which shard of it, from 0.
    pub index: u16,
}

impl StoreKind {
    /// `orders` or `accounts`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Accounts => "accounts",
        }
    }
}

impl fmt::Display for ShardName {
    /// `orders-0`, `accounts-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.store.as_str(), self.index)
    }
}

/// Which shard holds which slots. A shard is split later by moving slots, under a new epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMap {
    epoch: u32,
    shard_of_slot: Vec<u16>,
    shards: u16,
}

/// A slot map that does not cover every slot exactly once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotMapError {
    /// No shard, or more shards than slots.
    #[error("a slot map needs 1 to {SLOTS} shards, not {0}")]
    ShardCount(usize),
    /// The slot belongs to no shard or to two.
    #[error("slot {0} must belong to exactly one shard")]
    Coverage(u16),
    /// The range is empty or ends past the last slot.
    #[error("the range {0:?} is empty or ends past slot {SLOTS}")]
    Range(Range<u16>),
}

impl SlotMap {
    /// Equal ranges in order: shard 0 has the lowest slots.
    pub fn even(epoch: u32, shards: usize) -> Result<Self, SlotMapError> {
        if shards == 0 || shards > usize::from(SLOTS) {
            return Err(SlotMapError::ShardCount(shards));
        }
        let shard_of_slot = (0..usize::from(SLOTS))
            .map(|slot| (slot * shards / usize::from(SLOTS)) as u16)
            .collect();
        Ok(Self {
            epoch,
            shard_of_slot,
            shards: shards as u16,
        })
    }

    /// The ranges of each shard, in shard order; together they cover every slot once.
    pub fn from_ranges(epoch: u32, ranges: &[Vec<Range<u16>>]) -> Result<Self, SlotMapError> {
        if ranges.is_empty() || ranges.len() > usize::from(SLOTS) {
            return Err(SlotMapError::ShardCount(ranges.len()));
        }
        let mut owner = vec![None; usize::from(SLOTS)];
        for (shard, shard_ranges) in ranges.iter().enumerate() {
            for range in shard_ranges {
                if range.is_empty() || range.end > SLOTS {
                    return Err(SlotMapError::Range(range.clone()));
                }
                for slot in range.clone() {
                    if owner[usize::from(slot)].replace(shard as u16).is_some() {
                        return Err(SlotMapError::Coverage(slot));
                    }
                }
            }
        }
        let shard_of_slot = (0..SLOTS)
            .map(|slot| owner[usize::from(slot)].ok_or(SlotMapError::Coverage(slot)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            epoch,
            shard_of_slot,
            shards: ranges.len() as u16,
        })
    }

    /// The map's generation; every database carries the one it was made under.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The shard that holds the row of this id.
    pub fn shard_of(&self, id: &[u8; 16]) -> u16 {
        self.shard_of_slot[usize::from(slot_of(id))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::iter;

    #[test]
    fn the_slot_is_the_crc32_of_the_bytes() {
        // SELECT CRC32(UNHEX('00112233445566778899aabbccddeeff')) & 1023
        let id = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
        assert_eq!(slot_of(&id), 411);
    }

    #[test]
    fn a_shard_is_called_by_its_store_and_its_number() {
        let name = |store, index| ShardName { store, index }.to_string();
        assert_eq!(name(StoreKind::Orders, 0), "orders-0");
        assert_eq!(name(StoreKind::Accounts, 12), "accounts-12");
    }

    #[test]
    fn an_even_map_gives_each_shard_as_many_slots_in_order() {
        for shards in [1, 2, 3, 8, 1_023, 1_024] {
            let map = SlotMap::even(1, shards).unwrap();
            assert!(map.shard_of_slot.is_sorted());
            let of = |shard: u16| map.shard_of_slot.iter().filter(|s| **s == shard).count();
            let counts: Vec<usize> = (0..map.shards()).map(of).collect();
            let fewest = usize::from(SLOTS) / shards;
            assert!(
                counts.iter().all(|c| (fewest..=fewest + 1).contains(c)),
                "{shards}: {counts:?}"
            );
        }
    }

    #[test]
    fn there_are_as_many_shards_as_slots_at_most() {
        for shards in [0, 1_025] {
            let refused = Err(SlotMapError::ShardCount(shards));
            assert_eq!(SlotMap::even(1, shards), refused);
            assert_eq!(SlotMap::from_ranges(1, &vec![Vec::new(); shards]), refused);
        }
        let one_each = (0..SLOTS).map(|slot| iter::once(slot..slot + 1).collect());
        let one_each: Vec<Vec<_>> = one_each.collect();
        assert_eq!(SlotMap::from_ranges(1, &one_each), SlotMap::even(1, 1_024));
    }

    #[test]
    fn gaps_and_overlaps_are_refused() {
        let two = |first: Range<u16>, second: Range<u16>| {
            SlotMap::from_ranges(1, &[Vec::from([first]), Vec::from([second])])
        };
        assert!(two(0..512, 512..1024).is_ok());
        assert_eq!(two(0..512, 513..1024), Err(SlotMapError::Coverage(512)));
        assert_eq!(two(0..513, 512..1024), Err(SlotMapError::Coverage(512)));
        assert_eq!(two(0..512, 512..1025), Err(SlotMapError::Range(512..1025)));
    }

    #[test]
    fn a_map_tells_its_epoch() {
        assert_eq!(SlotMap::even(7, 2).unwrap().epoch(), 7);
    }

    #[test]
    fn an_id_is_on_the_shard_that_has_its_slot() {
        let id = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
        let cut_at = |slot: u16| {
            let ranges = [0..slot, slot..SLOTS].map(|range| vec![range]);
            SlotMap::from_ranges(1, &ranges).unwrap()
        };
        assert_eq!(cut_at(slot_of(&id)).shard_of(&id), 1);
        assert_eq!(cut_at(slot_of(&id) + 1).shard_of(&id), 0);
    }

    proptest! {
        #[test]
        fn an_even_map_puts_every_id_on_one_of_its_shards(shards in 1_usize..9, id: [u8; 16]) {
            let map = SlotMap::even(1, shards).unwrap();
            prop_assert!(map.shard_of(&id) < map.shards());
        }
    }
}
