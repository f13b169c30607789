//! The schema as it really comes out on the servers, and the runner that makes it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod guard;
mod runner;
mod schema;
mod support;
