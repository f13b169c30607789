//! How far a snapshot is, in numbers and words. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// How far each shard is, and how fast that goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last `seq` of each order shard that is acknowledged.
    pub reached: BTreeMap<String, u64>,
    /// The last `seq` of each order shard when the snapshot began, where it ends.
    pub last: BTreeMap<String, u64>,
    /// Rows looked at.
    pub seen: u64,
    /// Rows written; fewer where only some are wanted.
    pub rows: u64,
    /// Rows looked at per second, since a follower began or went on with it.
    #[serde(default)]
    pub rows_per_second: u64,
}

impl Progress {
    /// After which `seq` a shard's rows are still to be read.
    pub fn after(&self, shard: &str) -> u64 {
        self.reached.get(shard).copied().unwrap_or_default()
    }

    /// Whether a shard is read to its end.
    pub fn is_done(&self, shard: &str) -> bool {
        let last = self.last.get(shard);
        last.is_some_and(|last| self.after(shard) >= *last)
    }

    /// Takes in that rows of a shard are acknowledged, up to this `seq`.
    pub fn goes_on(&mut self, shard: &str, last: u64, seen: u64, rows: u64) {
        self.reached.insert(shard.to_owned(), last);
        self.seen += seen;
        self.rows += rows;
    }

    /// A shard is read to its end, whatever its last numbers were.
    pub fn ends(&mut self, shard: &str) {
        if let Some(last) = self.last.get(shard) {
            self.reached.insert(shard.to_owned(), *last);
        }
    }

    /// From 0 to 1, by the numbers of the rows; of a shard that could not be asked nothing is known.
    pub fn share(&self) -> f64 {
        let last: u64 = self.last.values().sum();
        let reached = |(shard, last): (&String, &u64)| self.after(shard).min(*last);
        let reached: u64 = self.last.iter().map(reached).sum();
        match last {
            0 if self.last.is_empty() => 0.0,
            0 => 1.0,
            last => reached as f64 / last as f64,
        }
    }

    /// About how many rows there are to look at: numbers may have gaps.
    pub fn rows_expected(&self) -> Option<u64> {
        let share = self.share();
        (share > 0.0).then(|| (self.seen as f64 / share).round() as u64)
    }

    /// About how long it takes still.
    pub fn rest(&self) -> Option<Duration> {
        let rows = self.rows_expected()?.saturating_sub(self.seen);
        (self.rows_per_second > 0)
            .then(|| Duration::from_secs_f64(rows as f64 / self.rows_per_second as f64))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(expected) = self.rows_expected() else {
            return write!(f, "no row yet");
        };
        let percent = (self.share() * 100.0).floor();
        write!(f, "{} of about {expected} rows, {percent} %", self.seen)?;
        if self.rows != self.seen {
            write!(f, ", {} of them wanted", self.rows)?;
        }
        if let Some(rest) = self.rest() {
            let seconds = rest.as_secs_f64().ceil();
            write!(
                f,
                ", {} rows/s, about {seconds} s left",
                self.rows_per_second
            )?;
        }
        Ok(())
    }
}

/// How fast rows come, since it was made.
pub struct Meter {
    began: Instant,
    seen: u64,
}

impl Meter {
    /// From so many rows on.
    pub fn from(seen: u64) -> Self {
        Self {
            began: Instant::now(),
            seen,
        }
    }

    /// Rows per second, now that so many are seen.
    pub fn rows_per_second(&self, seen: u64) -> u64 {
        rate(seen.saturating_sub(self.seen), self.began.elapsed())
    }
}

fn rate(rows: u64, within: Duration) -> u64 {
    match within.as_secs_f64() {
        seconds if seconds > 0.0 => (rows as f64 / seconds).round() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let of = |pairs: [(&str, u64); 2]| pairs.map(|(s, n)| (s.to_owned(), n)).into();
        Progress {
            reached: [("orders-0".to_owned(), 300)].into(),
            last: of([("orders-0", 400), ("orders-1", 800)]),
            seen: 150,
            rows: 150,
            rows_per_second: 50,
        }
    }

    #[test]
    fn the_share_is_of_the_numbers_and_the_rest_of_the_rows() {
        let progress = progress();
        assert_eq!(progress.share(), 0.25);
        // Half of the numbers are gaps.
        assert_eq!(progress.rows_expected(), Some(600));
        assert_eq!(progress.rest(), Some(Duration::from_secs(9)));
        let said = progress.to_string();
        assert_eq!(
            said,
            "150 of about 600 rows, 25 %, 50 rows/s, about 9 s left"
        );
    }

    #[test]
    fn before_the_first_row_nothing_is_estimated_and_without_any_it_is_done() {
        let mut progress = progress();
        progress.reached.clear();
        progress.seen = 0;
        assert_eq!((progress.rows_expected(), progress.rest()), (None, None));
        assert_eq!(progress.to_string(), "no row yet");
        progress.last = [("orders-0".to_owned(), 0)].into();
        assert!(progress.is_done("orders-0") && progress.share() == 1.0);
    }

    #[test]
    fn a_shard_is_done_at_its_last_number_and_not_before_that_is_known() {
        let mut progress = progress();
        assert!(!progress.is_done("orders-0") && !progress.is_done("orders-7"));
        progress.goes_on("orders-0", 399, 10, 4);
        assert!(!progress.is_done("orders-0"));
        assert_eq!((progress.seen, progress.rows), (160, 154));
        assert!(
            progress.to_string().contains("154 of them wanted"),
            "{progress}"
        );
        progress.ends("orders-0");
        assert!(progress.is_done("orders-0") && !progress.is_done("orders-1"));
    }

    #[test]
    fn a_rate_needs_time() {
        assert_eq!(rate(100, Duration::ZERO), 0);
        assert_eq!(rate(100, Duration::from_millis(500)), 200);
    }
}
