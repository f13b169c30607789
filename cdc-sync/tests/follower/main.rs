//! The follower against the real servers: MySQL's binlog in, Elasticsearch and Kafka out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod crash;
mod events;
mod failover;
mod freshness;
mod large;
mod lease;
mod live;
mod mariadb;
mod orders;
mod own_server;
mod proxy;
mod rebuild;
mod refresher;
mod refusal;
mod search;
mod snapshot;
mod start;
mod topic;
mod world;
