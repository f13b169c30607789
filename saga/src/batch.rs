//! The global transactions of one run, and how a round's work is grouped by shard.

use crate::flight::{Flight, Stage};
use crate::{Branch, Claimed, ShardId, TransactionLog};
use std::collections::BTreeMap;
use std::ops::Range;

/// Global transactions on their way, each xid once. Records and flights stand side by side, sorted
/// by log shard and xid, so that the set of a log shard is a slice of them.
#[derive(Debug)]
pub(crate) struct Batch<R, P> {
    pub records: Vec<R>,
    pub flights: Vec<Flight<P>>,
}

/// A flight's branch: the flight's place in the batch, the branch's place in the flight.
pub(crate) type BranchPlace = (usize, usize);

/// The branches of one shard, sorted by (xid, number), with where they belong.
#[derive(Debug)]
pub(crate) struct BranchSet<P> {
    pub shard: ShardId,
    pub branches: Vec<Branch<P>>,
    pub places: Vec<BranchPlace>,
}

impl<R: Clone, P: Clone> Batch<R, P> {
    /// Records that were just delivered, each xid once.
    pub(crate) fn of_records<L>(log: &L, records: impl IntoIterator<Item = R>) -> Self
    where
        L: TransactionLog<Record = R, Payload = P>,
    {
        let records = records
            .into_iter()
            .map(|record| (flight_of(log, &record), record));
        Self::sorted(records.collect())
    }

    /// Global transactions that the sweeper has leased.
    pub(crate) fn of_claimed<L>(log: &L, page: Vec<Claimed<R>>) -> Self
    where
        L: TransactionLog<Record = R, Payload = P>,
    {
        let take_over = |claimed: Claimed<R>| {
            let mut flight = flight_of(log, &claimed.record);
            flight.attempts = claimed.attempts;
            flight.on_claimed(&claimed.begun);
            (flight, claimed.record)
        };
        Self::sorted(page.into_iter().map(take_over).collect())
    }

    fn sorted(mut pairs: Vec<(Flight<P>, R)>) -> Self {
        pairs.sort_unstable_by_key(|(flight, _)| (flight.home, flight.xid));
        let (flights, records) = pairs.into_iter().unzip();
        Self { records, flights }
    }

    /// The slice of each log shard.
    pub(crate) fn homes(&self) -> Vec<(ShardId, Range<usize>)> {
        let mut start = 0;
        let chunks = self.flights.chunk_by(|one, other| one.home == other.home);
        chunks
            .map(|chunk| {
                let range = start..start + chunk.len();
                start = range.end;
                (chunk[0].home, range)
            })
            .collect()
    }

    /// The branches of the flights in the stage, by shard.
    pub(crate) fn branch_sets(&self, in_stage: impl Fn(&Stage) -> bool) -> Vec<BranchSet<P>> {
        let mut shards: BTreeMap<ShardId, Vec<(Branch<P>, BranchPlace)>> = BTreeMap::new();
        for (place, flight) in self.flights.iter().enumerate() {
            if in_stage(&flight.stage) {
                for (index, branch) in flight.branches.iter().enumerate() {
                    let set = shards.entry(branch.shard).or_default();
                    set.push((branch.clone(), (place, index)));
                }
            }
        }
        let set_of = |(shard, mut pairs): (ShardId, Vec<(Branch<P>, BranchPlace)>)| {
            pairs.sort_unstable_by_key(|(branch, _)| (branch.xid, branch.number));
            let (branches, places) = pairs.into_iter().unzip();
            BranchSet {
                shard,
                branches,
                places,
            }
        };
        shards.into_iter().map(set_of).collect()
    }
}

fn flight_of<L: TransactionLog>(log: &L, record: &L::Record) -> Flight<L::Payload> {
    let mut branches = Vec::new();
    log.branches(record, &mut branches);
    Flight {
        xid: log.xid(record),
        home: log.shard(record),
        branches,
        attempts: 0,
        stage: Stage::Log,
        alarm: None,
    }
}
