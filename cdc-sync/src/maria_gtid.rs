//! MariaDB's global transaction ids: what a position is made of there.
//!
//! A domain is one sequence of numbered transactions, whichever servers write them, and with
//! gtid_strict_mode its numbers only grow. So the last id of each domain stands for all before it. The
//! text is MariaDB's: `0-77-6,1-78-3`, each id as domain, server and number.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// One transaction's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariaGtid {
    /// The sequence it belongs to.
    pub domain: u32,
    /// Who wrote it first.
    pub server: u32,
    /// Its number in the domain, from 1.
    pub number: u64,
}

/// The last transaction of each domain, and so all before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MariaPosition(BTreeMap<u32, Last>);

/// The last id of a domain: the higher number is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    number: u64,
    server: u32,
}

/// A text that is not MariaDB's way of writing ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MariaDB GTID")]
pub struct MariaGtidError(String);

impl MariaPosition {
    /// Whether no domain is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an id and all before it.
    pub fn insert(&mut self, gtid: MariaGtid) {
        let MariaGtid {
            domain,
            server,
            number,
        } = gtid;
        let last = Last { number, server };
        let known = self.0.entry(domain).or_insert(last);
        *known = last.max(*known);
    }

    /// Adds every id of the other position.
    pub fn merge(&mut self, other: &Self) {
        other.ids().for_each(|id| self.insert(id));
    }

    /// Whether every id of the other position is in this one.
    pub fn contains(&self, other: &Self) -> bool {
        let has = |(domain, theirs)| self.0.get(domain).is_some_and(|ours| ours >= theirs);
        other.0.iter().all(has)
    }

    /// How many numbers of the other position are not in this one.
    pub fn lacks(&self, other: &Self) -> u64 {
        let lacks = |id: MariaGtid| {
            let ours = self.0.get(&id.domain).map_or(0, |ours| ours.number);
            id.number.saturating_sub(ours)
        };
        other.ids().map(lacks).fold(0, u64::saturating_add)
    }

    /// The last id of each domain, by domain.
    pub fn ids(&self) -> impl Iterator<Item = MariaGtid> + '_ {
        self.0.iter().map(|(&domain, last)| MariaGtid {
            domain,
            server: last.server,
            number: last.number,
        })
    }
}

impl FromIterator<MariaGtid> for MariaPosition {
    fn from_iter<I: IntoIterator<Item = MariaGtid>>(ids: I) -> Self {
        let mut position = Self::default();
        ids.into_iter().for_each(|id| position.insert(id));
        position
    }
}

/// Reads a list of ids, of which several may be of one domain.
pub fn read_list(text: &str) -> Result<Vec<MariaGtid>, MariaGtidError> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::parse).collect()
}

impl FromStr for MariaGtid {
    type Err = MariaGtidError;

    fn from_str(text: &str) -> Result<Self, MariaGtidError> {
        fn number<T: FromStr>(part: Option<&str>) -> Option<T> {
            let part = part?;
            let digits_only = part.bytes().all(|byte| byte.is_ascii_digit());
            digits_only.then(|| part.parse().ok())?
        }
        let mut parts = text.split('-');
        let mut read = || {
            let gtid = Self {
                domain: number(parts.next())?,
                server: number(parts.next())?,
                number: number(parts.next())?,
            };
            (gtid.number > 0 && parts.next().is_none()).then_some(gtid)
        };
        read().ok_or_else(|| MariaGtidError(text.to_owned()))
    }
}

impl FromStr for MariaPosition {
    type Err = MariaGtidError;

    fn from_str(text: &str) -> Result<Self, MariaGtidError> {
        Ok(read_list(text)?.into_iter().collect())
    }
}

impl fmt::Display for MariaGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.number)
    }
}

impl fmt::Display for MariaPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, id) in self.ids().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(text: &str) -> MariaPosition {
        text.parse().unwrap()
    }

    #[test]
    fn a_position_reads_as_mariadb_writes_it() {
        for (text, expected) in [
            ("", ""),
            ("0-77-6", "0-77-6"),
            ("1-78-3, 0-77-6", "0-77-6,1-78-3"),
            // As gtid_binlog_state has it: one id for each server that ever wrote the domain.
            ("0-77-6,0-78-9,0-79-8", "0-78-9"),
            (
                "4294967295-4294967295-18446744073709551615",
                "4294967295-4294967295-18446744073709551615",
            ),
        ] {
            assert_eq!(position(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_position_is_refused() {
        for text in [
            "0-77",
            "0-77-6-1",
            "0-77-0",
            "0--6",
            "0-77-+6",
            "4294967296-1-1",
            "0-1-18446744073709551616",
            "a-b-c",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
        ] {
            assert!(text.parse::<MariaPosition>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_lacking_is_counted_over_all_domains() {
        let ours = position("0-77-6,1-78-3");
        assert_eq!(ours.lacks(&position("0-77-10,1-78-2,2-5-7")), 4 + 7);
        assert_eq!(ours.lacks(&ours), 0);
    }

    fn any_position() -> impl Strategy<Value = MariaPosition> {
        let id = (0_u32..3, 1_u32..3, 1_u64..9);
        let ids = proptest::collection::vec(id, 0..6);
        ids.prop_map(|ids| {
            let gtid = |(domain, server, number)| MariaGtid {
                domain,
                server,
                number,
            };
            ids.into_iter().map(gtid).collect()
        })
    }

    proptest! {
        #[test]
        fn the_text_is_read_back_as_written(a in any_position()) {
            prop_assert_eq!(position(&a.to_string()), a);
        }

        #[test]
        fn merging_only_adds_and_adds_no_more_than_the_other_has(a in any_position(), b in any_position()) {
            let mut merged = a.clone();
            merged.merge(&b);
            prop_assert!(merged.contains(&a) && merged.contains(&b));
            prop_assert_eq!(a.contains(&b), merged == a);
            let mut other_way = b.clone();
            other_way.merge(&a);
            prop_assert_eq!(&other_way, &merged);
            prop_assert_eq!(merged.lacks(&a) + merged.lacks(&b), 0);
        }
    }
}
