//! The operator's command against real servers and a real consumer, each test with databases,
//! topics and a group of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod consumer;
mod follower;
mod letters;
mod payments;
mod reconcile;
mod stuck;
mod world;
