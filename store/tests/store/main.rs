//! The stores against the real servers. Each test makes four databases of its own, on both servers
//! where there are two, and drops them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod account_statements;
mod accounts;
mod audit;
mod audit_tampering;
mod confirm_and_cancel;
mod conformance;
mod connections;
mod contention;
mod databases;
mod funding;
mod identity;
mod order_log;
mod order_store;
mod payments;
mod statements;
mod support;
mod tries;
mod verify;
