//! What a verification says.

use serde::Serialize;

/// More breaches than this are not collected: whoever reads them needs no more to act.
const BREACHES_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong; at most a thousand.
    pub breaches: Vec<Breach>,
    /// Orders that have not ended yet: during load, or while no consumer runs, there are some.
    pub in_flight: u64,
    /// Databases that could not be asked: nothing is known of their rows.
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

impl Breach {
    pub(super) fn new(invariant: &'static str, text: impl Into<String>, rows: Vec<String>) -> Self {
        Self {
            invariant,
            text: text.into(),
            rows,
        }
    }
}

impl Report {
    pub(super) fn add(&mut self, breaches: impl IntoIterator<Item = Breach>) {
        let room = BREACHES_MAX.saturating_sub(self.breaches.len());
        self.breaches.extend(breaches.into_iter().take(room));
    }

    pub(super) fn add_unreachable(&mut self, shard: domain::ShardName, cause: String) {
        let shard = shard.to_string();
        if !self.unreachable.iter().any(|known| known.shard == shard) {
            self.unreachable.push(Unreachable { shard, cause });
        }
    }
}
