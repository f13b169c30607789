//! The protocol, explored: exhaustive models of what runs live, checked in every reachable state.
//!
//! | model | of | through |
//! |---|---|---|
//! | [`protocol`] | one global transaction, its log row, its branches and two workers | [`Flight`](crate::flight::Flight), and with it [`next`](crate::next) and [`plan`](crate::recovery::plan); [`on_try`](crate::fence::on_try), [`on_confirm`](crate::fence::on_confirm), [`on_cancel`](crate::fence::on_cancel) |
//! | [`fences`] | one fenced branch that anybody tries, confirms and cancels in any order | the fence's rules alone |
//! | [`locks`] | the row locks of two workers on two shards | [`Batch::branch_sets`](crate::batch::Batch::branch_sets) |
//!
//! The decisions are the live functions'; a model adds only what they are given to decide on: rows,
//! messages and time. **Messages** are worse than real ones: whatever a worker ever asked of a
//! server may be carried out at any later time, any number of times, in any order, whether or not
//! the worker still waits, heard that it failed, or died. **Workers** may stop anywhere and go on
//! after others went on, or die and lose all but the rows. A record is delivered again until its
//! offset is committed, a lease may run out at any time, as may the time to decide, and a payer's
//! money comes and goes while nobody looks.
//!
//! Two branches are explored with all of that. With three, to be done in seconds, payers are rich or
//! poor from the start, and a worker that fails to hear of one branch fails to hear of the rest.
//! A credit, which has no fence, follows the participants' rule: its confirm alone writes, once.
//! Left out: leases and attempts (whoever may come, may come at any time), a branch tried with
//! another payload, and several global transactions on one account, but for what their locks do.
//!
//! A [`Defect`](defect::Defect) breaks one thing on purpose, in the model and not in the live functions. For each,
//! a test asserts that the checker finds a counterexample: they are the test of the test.

mod defect;
mod fences;
mod happening;
mod locks;
mod properties;
mod protocol;
mod protocol_tests;
mod rows;
mod worker;
mod world;

use stateright::{Checker, HasDiscoveries, Model};
use std::hash::Hash;

/// Explores every reachable state; tells how many there are. All properties must hold.
fn explore<M>(model: M) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = model.checker().threads(threads).spawn_bfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

/// No counterexample is longer than so many steps.
const STEPS_MAX: usize = 16;

/// The shortest way to break this property, if it can be broken. The checker tells of some
/// counterexample that it met; of those that are one step longer at a time, the first is shortest.
fn shortest_counterexample<M>(model: &M, property: &'static str) -> Option<Vec<M::Action>>
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    // A path of n steps goes through n + 1 states, and the depth is where the checker turns back.
    (0..=STEPS_MAX).find_map(|steps| {
        let checker = model.clone().checker().target_max_depth(steps + 2);
        let wanted = HasDiscoveries::AllOf([property].into());
        let path = checker.finish_when(wanted).spawn_bfs().join();
        Some(path.discovery(property)?.into_actions())
    })
}
