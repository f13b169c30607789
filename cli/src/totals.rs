//! How many orders there are of each kind, where kinds are few: pure.

use serde::Serialize;
use std::collections::BTreeMap;

/// Kinds that are counted apart; causes may quote ids, and memory stays flat.
const KINDS_MAX: usize = 200;

/// Orders of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The order shard.
    pub shard: String,
    /// The state.
    pub state: &'static str,
    /// The last cause.
    pub cause: String,
    /// How many.
    pub orders: u64,
}

/// Counts by shard, state and cause.
#[derive(Debug, Default)]
pub struct Totals {
    kinds: BTreeMap<(String, &'static str, String), u64>,
    orders: u64,
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, shard: &str, state: &'static str, cause: Option<&str>) {
        self.orders += 1;
        let cause = cause.unwrap_or("none yet").to_owned();
        let kind = (shard.to_owned(), state, cause);
        let is_known = self.kinds.contains_key(&kind);
        let kind = if is_known || self.kinds.len() < KINDS_MAX {
            kind
        } else {
            (kind.0, kind.1, "another cause".to_owned())
        };
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// All.
    pub fn orders(&self) -> u64 {
        self.orders
    }

    /// By kind, the largest first.
    pub fn list(&self) -> Vec<Total> {
        let total =
            |((shard, state, cause), orders): (&(String, &'static str, String), &u64)| Total {
                shard: shard.clone(),
                state,
                cause: cause.clone(),
                orders: *orders,
            };
        let mut list: Vec<Total> = self.kinds.iter().map(total).collect();
        list.sort_by_key(|total| std::cmp::Reverse(total.orders));
        list
    }

    /// One line a kind.
    pub fn lines(&self) -> String {
        let line = |total: Total| {
            let Total {
                shard,
                state,
                cause,
                orders,
            } = total;
            format!("  {orders:>8}  {shard}  {state:<10}  {cause}\n")
        };
        self.list().into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart_and_the_largest_comes_first() {
        let mut totals = Totals::default();
        totals.add("orders-0", "trying", None);
        for _ in 0..3 {
            totals.add("orders-1", "confirming", Some("accounts-1 does not answer"));
        }
        let list = totals.list();
        assert_eq!((totals.orders(), list.len()), (4, 2));
        assert_eq!((list[0].orders, list[0].state), (3, "confirming"));
        assert_eq!(list[1].cause, "none yet");
    }

    #[test]
    fn ever_new_causes_take_no_more_memory() {
        let mut totals = Totals::default();
        for number in 0..KINDS_MAX * 3 {
            totals.add("orders-0", "trying", Some(&format!("cause {number}")));
        }
        assert_eq!(totals.list().len(), KINDS_MAX + 1);
        assert_eq!(totals.orders(), (KINDS_MAX * 3) as u64);
    }
}
