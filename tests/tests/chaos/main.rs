//! The catalogue of faults: one test a line, on real servers. Each prints its seed (`CHAOS_SEED=n`
//! makes the same choices again), can be run alone, and ends in the invariants by name.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod alarms;
mod api;
mod branches;
mod branches_failing;
mod branches_of_three;
mod branches_together;
mod commands;
mod coordinator;
mod coordinator_recovery;
mod database;
#[path = "../../../store/tests/store/databases.rs"]
mod databases;
mod disk;
mod follower;
mod group;
mod in_hand;
mod invariants;
mod kafka;
mod live;
mod neighbour;
mod obstacle;
mod one_database;
mod queues;
mod records;
mod scenario;
mod steps;
#[allow(
    dead_code,
    unused_imports,
    reason = "the store's own tests use the rest"
)]
#[path = "../../../store/tests/store/support.rs"]
mod support;
mod turns;
mod watch;
mod worker;
