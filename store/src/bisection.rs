//! Finds the last of an account's numbered entries that was booked before an instant, with as few
//! looks as may be: pure.

use chrono::{DateTime, Utc};

/// How many entries one round looks at.
const PROBES: u64 = 64;

/// What is known of the last entry before an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bisection {
    /// This one was booked before it, or is 0.
    pub before: u64,
    /// This one was not, or is not there.
    not_before: u64,
}

impl Bisection {
    /// Nothing is known of the entries 1 to `last_entry`.
    pub fn of(last_entry: u64) -> Self {
        Self {
            before: 0,
            not_before: last_entry + 1,
        }
    }

    /// Which entries to look at next, in order; none once the place is found.
    pub fn probes(self) -> Option<Vec<u64>> {
        let between = self.not_before - self.before - 1;
        if between == 0 {
            return None;
        }
        let count = between.min(PROBES);
        let at = |place: u64| {
            let steps = u128::from(between) * u128::from(place) / u128::from(count);
            self.before + u64::try_from(steps).unwrap_or(between)
        };
        Some((1..=count).map(at).collect())
    }

    /// Takes in when those entries were booked, in order.
    pub fn narrow(&mut self, booked: &[(u64, DateTime<Utc>)], instant: DateTime<Utc>) {
        for &(number, booked_at) in booked {
            if booked_at >= instant {
                self.not_before = number;
                return;
            }
            self.before = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// Bisects entries booked at these seconds.
    fn last_before(booked: &[i64], instant: i64) -> (u64, usize) {
        let mut open = Bisection::of(booked.len() as u64);
        let mut rounds = 0;
        while let Some(numbers) = open.probes() {
            rounds += 1;
            assert!(rounds < 10, "it does not end");
            let found: Vec<_> = numbers
                .iter()
                .map(|&number| (number, at(booked[number as usize - 1])))
                .collect();
            open.narrow(&found, at(instant));
        }
        (open.before, rounds)
    }

    proptest! {
        #[test]
        fn the_last_entry_before_an_instant_is_found(
            mut booked in proptest::collection::vec(0_i64..300, 0..1_000),
            instant in -1_i64..301,
        ) {
            booked.sort_unstable();
            let expected = booked.partition_point(|second| *second < instant);
            let (found, rounds) = last_before(&booked, instant);
            prop_assert_eq!(found, expected as u64);
            prop_assert!(rounds <= 2, "{} rounds", rounds);
        }

        #[test]
        fn a_clock_that_was_set_back_still_gives_a_place_between_two_entries(
            booked in proptest::collection::vec(0_i64..300, 1..500),
            instant in -1_i64..301,
        ) {
            let (found, _) = last_before(&booked, instant);
            let found = found as usize;
            prop_assert!(found == 0 || booked[found - 1] < instant);
            prop_assert!(found == booked.len() || booked[found] >= instant);
        }
    }

    #[test]
    fn a_trillion_entries_take_seven_rounds() {
        let mut open = Bisection::of(1_000_000_000_000);
        let mut rounds = 0;
        while let Some(numbers) = open.probes() {
            rounds += 1;
            assert!(rounds < 10, "it does not end");
            let booked: Vec<_> = numbers.iter().map(|&n| (n, at(n as i64))).collect();
            open.narrow(&booked, at(123_456_789_012));
        }
        assert_eq!((open.before, rounds), (123_456_789_011, 7));
    }
}
