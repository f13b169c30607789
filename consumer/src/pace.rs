//! When the next batch may begin, so that at a moderate load batches are not many and small. Pure.
//!
//! A batch costs several commits on every shard, however few orders are in it. A worker that always
//! took what is there would spend a whole machine on batches of three or four at a load that a tenth
//! of it carries in batches of thirty. So a batch that had company earns the next one a pause: it
//! grows with the batch, and the batch with it, up to a limit. While the batch before still runs, the
//! databases have enough to do, and the pause is longer. Orders that come one by one do not wait.

use std::time::{Duration, Instant};

/// The pause that one record of a batch earns. Below one record in this time pauses end before the
/// next record comes; above it they grow to the limit.
const PAUSE_PER_RECORD: Duration = Duration::from_millis(4);
/// How many times longer a pause may be while the batch that earned it runs. It ends all the same: a batch
/// may hang for as long as a database does.
const LONGER_WHILE_IT_RUNS: u32 = 4;

/// Holds batches back.
#[derive(Debug)]
pub struct Pace {
    records_enough: usize,
    pause_max: Duration,
    last: Option<Last>,
}

/// The batch that began last.
#[derive(Debug)]
struct Last {
    began: Instant,
    pause: Duration,
}

impl Pace {
    /// No pause is longer than `pause_max`, or four times that while the batch before runs, counted from one
    /// batch's beginning to the next one's, and none holds this many records.
    pub fn new(records_enough: usize, pause_max: Duration) -> Self {
        Self {
            records_enough,
            pause_max,
            last: None,
        }
    }

    /// A batch of so many records begins.
    pub fn began(&mut self, records: usize, now: Instant) {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_RECORD.saturating_mul(records).min(self.pause_max);
        self.last = Some(Last { began: now, pause });
    }

    /// Until when the `waiting` records are held back, if they are, or until the batch that began last
    /// has ended, if it `runs`.
    pub fn held_until(&self, waiting: usize, runs: bool, now: Instant) -> Option<Instant> {
        let last = self.last.as_ref()?;
        let times = if runs { LONGER_WHILE_IT_RUNS } else { 1 };
        let next = last.began + last.pause * times;
        (next > now && waiting < self.records_enough).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The records of each batch while so many come each millisecond and a batch takes so long; as many run
    /// at once as may.
    fn batches(per_ms: f64, takes_ms: u32, pause_max_ms: u32) -> Vec<usize> {
        let mut pace = Pace::new(50, MS * pause_max_ms);
        let (begun, mut waiting, mut ends_at) = (Instant::now(), 0.0, 0);
        let mut batches = Vec::new();
        for ms in 0..1_000_u32 {
            waiting += per_ms;
            let (records, now) = (waiting as usize, begun + MS * ms);
            let held = pace.held_until(records, ms < ends_at, now);
            if records > 0 && held.is_none() {
                pace.began(records, now);
                batches.push(records);
                waiting -= records as f64;
                ends_at = ms + takes_ms;
            }
        }
        batches.split_off(batches.len() / 2)
    }

    #[test]
    fn one_order_after_the_other_is_never_held() {
        let mut pace = Pace::new(50, MS * 30);
        let begun = Instant::now();
        assert_eq!(pace.held_until(1, false, begun), None);
        pace.began(1, begun);
        assert_eq!(pace.held_until(1, false, begun + MS * 8), None);
    }

    #[test]
    fn batches_stay_small_at_a_low_load_and_grow_with_a_higher_one() {
        assert!(batches(0.1, 8, 30).iter().all(|records| *records == 1));
        let grown = batches(0.5, 8, 30);
        assert!(grown.iter().all(|records| (14..17).contains(records)));
        assert!(batches(0.5, 8, 0).iter().all(|records| *records <= 1));
    }

    #[test]
    fn the_next_batch_waits_for_one_that_takes_long_and_not_for_ever() {
        let longer = batches(0.5, 70, 30);
        assert!(longer.iter().all(|records| (34..37).contains(records)));
        let hanging = batches(0.3, 100_000, 30);
        assert!(hanging.iter().all(|records| (34..38).contains(records)));
    }

    #[test]
    fn one_order_waits_little_for_a_batch_that_takes_long() {
        let mut pace = Pace::new(50, MS * 30);
        let begun = Instant::now();
        pace.began(1, begun);
        assert_eq!(pace.held_until(1, true, begun), Some(begun + MS * 16));
    }

    #[test]
    fn enough_records_are_not_held() {
        assert!(
            batches(5.0, 70, 30)
                .iter()
                .all(|records| (50..56).contains(records))
        );
    }
}
