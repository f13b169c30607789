//! How many rows there are in each range, and a checksum of them: what two stores are compared by.
//! Pure.

use super::IdRange;
use crate::columns;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sqlx::Row;
use sqlx::mysql::MySqlRow;
use std::collections::BTreeMap;

/// What was written within a day from `until` on is too young to be compared. Later than that is no
/// time at which anything was written, so a row that says so is not overlooked for it.
const YOUNG: TimeDelta = TimeDelta::days(1);

/// Which rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Made from then on.
    pub since: DateTime<Utc>,
    /// Written before.
    pub until: DateTime<Utc>,
}

impl Settled {
    /// Whether what was last written at this time is old enough.
    pub fn holds(&self, written: DateTime<Utc>) -> bool {
        written < self.until || written >= self.young_until()
    }

    /// The end of the time in which rows are too young.
    pub fn young_until(&self) -> DateTime<Utc> {
        self.until.checked_add_signed(YOUNG).unwrap_or(self.until)
    }

    pub(super) fn bounds(&self) -> [NaiveDateTime; 2] {
        [self.until.naive_utc(), self.young_until().naive_utc()]
    }
}

/// Rows and the sum of their checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    /// The sum of the rows' CRC-32s, modulo 2^64.
    pub checksum: u64,
}

/// The sums of ranges; one without rows is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<IdRange, Sum>);

impl Sums {
    /// Adds rows of a range.
    pub fn add(&mut self, range: IdRange, more: Sum) {
        self.change(range, |sum| {
            sum.rows = sum.rows.wrapping_add(more.rows);
            sum.checksum = sum.checksum.wrapping_add(more.checksum);
        });
    }

    /// Takes rows of a range away, also before they were added.
    pub fn take(&mut self, range: IdRange, less: Sum) {
        self.change(range, |sum| {
            sum.rows = sum.rows.wrapping_sub(less.rows);
            sum.checksum = sum.checksum.wrapping_sub(less.checksum);
        });
    }

    /// Adds what another span has of each range.
    pub fn merge(&mut self, other: &Self) {
        other
            .0
            .iter()
            .for_each(|(range, sum)| self.add(*range, *sum));
    }

    /// What there is of a range.
    pub fn of(&self, range: IdRange) -> Sum {
        self.0.get(&range).copied().unwrap_or_default()
    }

    /// How many ranges have rows.
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// The ranges in which the two differ, in order.
    pub fn differing(&self, other: &Self) -> Vec<IdRange> {
        let mut ranges: Vec<IdRange> = self.0.keys().chain(other.0.keys()).copied().collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges.retain(|range| self.of(*range) != other.of(*range));
        ranges
    }

    fn change(&mut self, range: IdRange, change: impl FnOnce(&mut Sum)) {
        let sum = self.0.entry(range).or_default();
        change(sum);
        if *sum == Sum::default() {
            self.0.remove(&range);
        }
    }
}

/// The range and the sum of a row with the columns `place`, `counted` and `checksum`.
pub(super) fn read(row: &MySqlRow, digits: u8) -> Result<(IdRange, Sum), sqlx::Error> {
    read_as(row, digits, "counted", "checksum")
}

/// The same with other names.
pub(super) fn read_as(
    row: &MySqlRow,
    digits: u8,
    counted: &str,
    checksum: &str,
) -> Result<(IdRange, Sum), sqlx::Error> {
    let sum = Sum {
        rows: unsigned(row, counted)?,
        checksum: unsigned(row, checksum)?,
    };
    Ok((IdRange::at(digits, unsigned(row, "place")?), sum))
}

/// A number that the statement has made an unsigned one.
pub(super) fn unsigned(row: &MySqlRow, column: &str) -> Result<u64, sqlx::Error> {
    match row.try_get::<u64, _>(column) {
        Ok(number) => Ok(number),
        // COUNT is signed.
        Err(_) => u64::try_from(row.try_get::<i64, _>(column)?)
            .map_err(|_| columns::decode(column, "is below zero".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(rows: u64, checksum: u64) -> Sum {
        Sum { rows, checksum }
    }

    #[test]
    fn sums_differ_where_rows_or_checksums_do_and_nowhere_else() {
        let ranges: Vec<IdRange> = IdRange::all_of(1).collect();
        let (mut one, mut other) = (Sums::default(), Sums::default());
        for range in &ranges {
            one.add(*range, sum(3, 77));
            other.add(*range, sum(3, 77));
        }
        assert_eq!(one.differing(&other), []);
        other.add(ranges[2], sum(0, 1));
        other.add(ranges[5], sum(1, 0));
        other.take(ranges[7], sum(3, 77));
        let differing = [ranges[2], ranges[5], ranges[7]];
        assert_eq!(one.differing(&other), differing);
        assert_eq!(other.differing(&one), differing);
    }

    proptest! {
        #[test]
        fn what_is_added_and_taken_in_any_order_leaves_nothing(
            parts in proptest::collection::vec((0_usize..16, 0_u64..9, any::<u64>()), 0..40)
        ) {
            let ranges: Vec<IdRange> = IdRange::all_of(1).collect();
            let mut sums = Sums::default();
            for (place, rows, checksum) in &parts {
                sums.take(ranges[*place], sum(*rows, *checksum));
            }
            for (place, rows, checksum) in parts.iter().rev() {
                sums.add(ranges[*place], sum(*rows, *checksum));
            }
            prop_assert_eq!(sums, Sums::default());
        }
    }

    #[test]
    fn what_was_written_since_is_young_and_what_claims_to_be_written_in_days_is_not() {
        let until = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let settled = Settled {
            since: DateTime::UNIX_EPOCH,
            until,
        };
        assert!(settled.holds(until - TimeDelta::microseconds(1)));
        assert!(!settled.holds(until));
        assert!(settled.holds(until + TimeDelta::days(2)));
    }
}
