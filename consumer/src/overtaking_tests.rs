//! The way over the retry topic keeps the order of each order's records, whatever happens when.

use crate::detour::{Road, Way, way};
use crate::overtaking_model::{Rule, World};
use crate::parked::Held;
use crate::record::Source;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::time::Duration;

impl World {
    /// One thing happens.
    fn step(&mut self, kind: u8, bits: u8) {
        match kind % 16 {
            0 | 1 => self.produce(bits % 3),
            2 | 3 => self.receive(Source::Commands),
            4 => self.read_retry(),
            5 | 6 => self.start(usize::from(bits % 4) + 1),
            7 => self.end_batch(bits),
            8 => self.start_retry(),
            9 => self.end_retry(bits),
            10 => self.move_parked(),
            11 => self.send_set(),
            12 => self.acknowledge(bits.is_multiple_of(2)),
            13 => self.commit(),
            14 if bits.is_multiple_of(4) => self.crash(),
            14 => self.retry.append(&mut self.late),
            _ => self.now += Duration::from_millis(u64::from(bits) * 40),
        }
    }

    /// All goes well for long.
    fn drain(&mut self) {
        for _ in 0..40 * (self.commands.len() + self.retry.len() + 10) {
            (2..=13).for_each(|kind| self.step(kind, u8::MAX));
            self.now += Duration::from_millis(50);
        }
    }

    /// Whether each record has ended, all is committed, and the way is straight.
    fn is_finished(&self) -> bool {
        let ended: usize = self.ended.values().map(HashSet::len).sum();
        let mut detours = self.memory.partitions.detours();
        ended == self.commands.len()
            && self.committed == (self.commands.len(), self.retry.len())
            && detours.all(|(_, _, detour)| !detour.in_use())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_record_overtakes_another_of_its_order_and_none_is_lost(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..200),
    ) {
        let mut world = World::new(way, false);
        for (kind, bits) in steps {
            world.step(kind, bits);
        }
        world.drain();
        prop_assert!(!world.overtaken());
        prop_assert!(world.is_finished());
    }
}

/// Rules that are wrong in one point each.
const BROKEN: [(&str, Rule); 6] = [
    ("no detour", |source, held, road| {
        match way(source, held, road) {
            Way::Detour | Way::Wait => Way::Run,
            way @ (Way::Run | Way::Park) => way,
        }
    }),
    (
        "parked behind what came back, with more to come back",
        |source, held, road| match (source, held, road) {
            (Source::Commands, Held::BehindReturned, Road::Detour) => Way::Park,
            other => way(other.0, other.1, other.2),
        },
    ),
    (
        "on the detour past what is parked",
        |source, held, road| match (source, held, road) {
            (Source::Commands, Held::BehindFirst, Road::Detour) => Way::Detour,
            other => way(other.0, other.1, other.2),
        },
    ),
    (
        "straight on while the detour closes",
        |source, held, road| match way(source, held, road) {
            Way::Wait => Way::Run,
            way @ (Way::Run | Way::Park | Way::Detour) => way,
        },
    ),
    (
        "tried at once when it came back",
        |source, held, road| match source {
            Source::Retry(_) => Way::Run,
            Source::Commands => way(source, held, road),
        },
    ),
    (
        "tried past what is parked",
        |source, held, road| match way(source, held, road) {
            Way::Park => Way::Run,
            way @ (Way::Run | Way::Wait | Way::Detour) => way,
        },
    ),
];

#[test]
fn each_broken_rule_is_caught() {
    for (name, rule) in BROKEN {
        assert!(is_caught(rule, false), "{name}");
    }
    assert!(is_caught(way, true), "two records of an order in one set");
}

fn is_caught(rule: Rule, mixed_sets: bool) -> bool {
    (0..2_000).any(|seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::new(rule, mixed_sets);
        for _ in 0..300 {
            world.step(random.random(), random.random());
        }
        world.overtaken()
    })
}
