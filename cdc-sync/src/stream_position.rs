//! How far a stream is: the transactions whose every change is known, on either database.
//!
//! One text form, which is saved: each database's own, which never look alike. A position holds ids of
//! both only where somebody wrote such a text; no server counts in both.

use crate::flavour::Flavour;
use crate::gtid_set::{Gtid, GtidSet, GtidSetError};
use crate::maria_gtid::{MariaGtid, MariaGtidError, MariaPosition};
use std::fmt;
use std::str::FromStr;

/// One transaction's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionId {
    /// On MySQL.
    MySql(Gtid),
    /// On MariaDB.
    MariaDb(MariaGtid),
}

/// A set of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    mysql: GtidSet,
    mariadb: MariaPosition,
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// It looks like MySQL's.
    #[error(transparent)]
    MySql(#[from] GtidSetError),
    /// It looks like MariaDB's.
    #[error(transparent)]
    MariaDb(#[from] MariaGtidError),
}

impl Position {
    /// Whether no transaction is in it.
    pub fn is_empty(&self) -> bool {
        self.mysql.is_empty() && self.mariadb.is_empty()
    }

    /// Whether a server of this flavour could have come here.
    pub fn is_of(&self, flavour: Flavour) -> bool {
        match flavour {
            Flavour::MySql => self.mariadb.is_empty(),
            Flavour::MariaDb => self.mysql.is_empty(),
        }
    }

    /// Adds one transaction; on MariaDB also those before it in its domain.
    pub fn insert(&mut self, id: TransactionId) {
        match id {
            TransactionId::MySql(gtid) => self.mysql.insert(gtid),
            TransactionId::MariaDb(gtid) => self.mariadb.insert(gtid),
        }
    }

    /// Adds every transaction of the other position.
    pub fn merge(&mut self, other: &Self) {
        self.mysql.merge(&other.mysql);
        self.mariadb.merge(&other.mariadb);
    }

    /// Whether every transaction of the other position is in this one.
    pub fn contains(&self, other: &Self) -> bool {
        self.mysql.contains(&other.mysql) && self.mariadb.contains(&other.mariadb)
    }

    /// How many transactions of the other position are not in this one.
    pub fn lacks(&self, other: &Self) -> u64 {
        let mysql = self.mysql.lacks(&other.mysql);
        mysql.saturating_add(self.mariadb.lacks(&other.mariadb))
    }

    /// What a MySQL server is asked by.
    pub fn mysql(&self) -> &GtidSet {
        &self.mysql
    }

    /// What a MariaDB server is asked by.
    pub fn mariadb(&self) -> &MariaPosition {
        &self.mariadb
    }
}

impl From<MariaPosition> for Position {
    fn from(mariadb: MariaPosition) -> Self {
        let mysql = GtidSet::default();
        Self { mysql, mariadb }
    }
}

impl From<Gtid> for TransactionId {
    fn from(gtid: Gtid) -> Self {
        Self::MySql(gtid)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Only MySQL's ids have a colon, in each part of the list.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        let (mysql, mariadb): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.contains(':'));
        Ok(Self {
            mysql: mysql.join(",").parse()?,
            mariadb: mariadb.join(",").parse()?,
        })
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(gtid) => write!(f, "{}:{}", gtid.source, gtid.number),
            Self::MariaDb(gtid) => gtid.fmt(f),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_both = !self.mysql.is_empty() && !self.mariadb.is_empty();
        let comma = if is_both { "," } else { "" };
        write!(f, "{}{comma}{}", self.mysql, self.mariadb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn position(text: &str) -> Position {
        text.replace('A', A).parse().unwrap()
    }

    #[test]
    fn each_text_is_known_for_its_flavour() {
        for (text, of_mysql, of_mariadb) in [
            ("A:1-5:9,A:pay:1-2", true, false),
            ("0-77-6,1-78-3", false, true),
            ("", true, true),
            ("A:1-5,0-77-6", false, false),
        ] {
            let read = position(text);
            assert_eq!(read.to_string(), text.replace('A', A));
            assert_eq!(read.is_of(Flavour::MySql), of_mysql, "{text}");
            assert_eq!(read.is_of(Flavour::MariaDb), of_mariadb, "{text}");
        }
    }

    #[test]
    fn positions_of_two_flavours_do_not_contain_each_other() {
        let (mysql, mariadb) = (position("A:1-5"), position("0-77-6"));
        assert!(!mysql.contains(&mariadb) && !mariadb.contains(&mysql));
        assert_eq!((mysql.lacks(&mariadb), mariadb.lacks(&mysql)), (6, 5));
        assert!(position("0-77-7").contains(&mariadb));
        assert!(mariadb.contains(&position("")));
    }

    #[test]
    fn any_text_is_a_position_that_is_read_back_or_an_error() {
        let good = ["0-77-6,1-78-3", "A:1-5:11-18,A:tag:7", "1-4294967295-6"];
        let good = good.map(|text| text.replace('A', A).into_bytes());
        domain::mangled::each_mangled(&good, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(read) = text.parse::<Position>() {
                assert_eq!(read.to_string().parse(), Ok(read.clone()));
                assert!(read.contains(&read) && read.lacks(&read) == 0);
            }
        });
    }
}
