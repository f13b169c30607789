//! The operator's command against real servers and a real consumer, each test with databases,
//! topics and a group of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod audit;
mod consumer;
mod follower;
mod letters;
mod payments;
mod reconcile;
mod reconcile_differences;
mod reconcile_watch;
mod search;
mod stuck;
mod world;
