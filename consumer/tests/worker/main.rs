//! The worker in this process against the real Kafka, MySQL and Redis. Each test has databases,
//! topics and a group of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod databases;
mod detour;
mod gate;
mod group;
mod money;
mod poison;
mod process;
mod running;
mod support;
mod topics;
mod trouble;
