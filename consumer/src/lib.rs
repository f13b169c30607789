//! The Kafka worker: takes payment commands in batches and has the engine run them.
//!
//! [`worker`] tells the story. The pure parts are [`decode`], [`offsets`], [`partitions`] and
//! [`parked`]; the shell around them is [`stream`] (Kafka in), [`batches`] (the engine),
//! [`dead_letters`] (Kafka out) and [`wake`] (Redis).

pub mod backoff;
pub mod batches;
pub mod burials;
pub mod dead_letters;
pub mod decode;
pub mod events;
pub mod group;
mod handover;
pub mod meters;
pub mod offsets;
pub mod parked;
#[cfg(test)]
mod parked_tests;
pub mod partitions;
pub mod record;
pub mod settings;
mod settle;
pub mod stream;
pub mod topics;
pub mod wake;
pub mod worker;
