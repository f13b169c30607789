//! The Kafka worker: takes payment commands in batches and has the engine run them.
//!
//! [`worker`] tells the story. The pure parts are [`decode`], [`offsets`], [`partitions`],
//! [`parked`] and [`detour`]; the shell around them is [`stream`] and [`retry_stream`] (Kafka in),
//! [`batches`] (the engine), [`dead_letters`] and [`retry_topic`] (Kafka out) and [`wake`] (Redis).

pub mod backoff;
pub mod batches;
pub mod burials;
pub mod dead_letters;
pub mod decode;
pub mod detour;
mod detours;
mod diversion;
pub mod events;
pub mod group;
mod handover;
mod intake;
pub mod meters;
pub mod moves;
pub mod offsets;
pub mod origin;
pub mod outlet;
#[cfg(test)]
mod overtaking_model;
#[cfg(test)]
mod overtaking_tests;
pub mod pace;
pub mod parked;
#[cfg(test)]
mod parked_tests;
pub mod partitions;
#[cfg(test)]
mod partitions_tests;
pub mod record;
mod retry_poller;
mod retry_rooms;
pub mod retry_stream;
pub mod retry_topic;
pub mod settings;
mod settle;
pub mod stream;
pub mod topics;
pub mod wake;
pub mod worker;
