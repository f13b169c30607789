//! The API over the real servers, each test with databases, a topic, a Redis prefix and indices of
//! its own. `make test` brings the servers up and names them in the environment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod accounts;
mod audit;
mod bad_days;
mod broken_export;
mod client;
mod description;
mod idempotency;
mod limits;
mod orders;
mod search;
mod search_export;
mod search_gate;
mod search_index;
mod stand;
mod statement;
mod tokens;
mod topic;
mod who;
