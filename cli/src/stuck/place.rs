//! Where a listing stopped, as text that the next call takes: `orders-0/1800000000000000/42`.

use chrono::DateTime;
use domain::{ShardName, StoreKind};
use std::fmt;
use std::str::FromStr;
use store::OpenPlace;

/// A place among the open orders of all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// On which shard.
    pub shard: ShardName,
    /// Where there.
    pub place: OpenPlace,
}

/// A text that no listing has printed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place that `holdfast stuck` has printed")]
pub struct NotAPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenPlace { due, seq } = self.place;
        write!(f, "{}/{}/{seq}", self.shard, due.timestamp_micros())
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let mut parts = text.split('/');
        let mut part = || parts.next().ok_or(NotAPlace);
        let index = part()?.strip_prefix("orders-").ok_or(NotAPlace)?;
        let index = index.parse().map_err(|_| NotAPlace)?;
        let micros = part()?.parse().map_err(|_| NotAPlace)?;
        let due = DateTime::from_timestamp_micros(micros).ok_or(NotAPlace)?;
        let seq = part()?.parse().map_err(|_| NotAPlace)?;
        if parts.next().is_some() {
            return Err(NotAPlace);
        }
        let store = StoreKind::Orders;
        Ok(Self {
            shard: ShardName { store, index },
            place: OpenPlace { due, seq },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let text = "orders-1/1800000000123456/42";
        let place: Place = text.parse().unwrap();
        assert_eq!(place.to_string(), text);
        assert_eq!(place.shard.index, 1);
        assert_eq!(place.place.seq, 42);
    }

    #[test]
    fn another_text_is_no_place() {
        let texts = [
            "",
            "orders-0",
            "orders-0/1/2/3",
            "accounts-0/1/2",
            "orders-0/x/2",
        ];
        for text in texts {
            assert_eq!(text.parse::<Place>(), Err(NotAPlace), "{text}");
        }
    }
}
