//! The follower against the real servers: MySQL's binlog in, Elasticsearch out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod crash;
mod freshness;
mod lease;
mod live;
mod orders;
mod own_server;
mod proxy;
mod rebuild;
mod refresher;
mod refusal;
mod search;
mod start;
mod world;
