//! When the next batch may begin, so that at a moderate load batches are not many and small. Pure.
//!
//! A batch costs several commits on every shard, however few orders are in it. A worker that always
//! took what is there would spend a whole machine on batches of three or four at a load that a tenth
//! of it carries in batches of thirty. So a batch that had company earns the next one a pause: it
//! grows with the batch, and the batch with it, up to a limit and to as long as the batch itself took, which
//! is little where the databases have little to do. Orders that come one by one do not wait.

use std::time::{Duration, Instant};

/// The pause that one record of a batch earns, counted from the batch's beginning. Where records are further
/// apart than this, or than twice this while the batch before runs, pauses end before the next one comes; where
/// they are closer, pauses grow to the limit.
const PAUSE_PER_RECORD: Duration = Duration::from_millis(4);
/// How many times longer a pause may be while the batch that earned it runs. It ends all the same: a batch
/// may hang for as long as a database does.
const LONGER_WHILE_IT_RUNS: u32 = 2;

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
    /// No pause is longer than `pause_max`, or twice that while the batch before runs, counted from one
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

    /// Until when the `waiting` records are held back, if they are. The batch that began last took so long,
    /// or still runs and may end before.
    pub fn held_until(
        &self,
        waiting: usize,
        took: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        let last = self.last.as_ref()?;
        let pause = match took {
            Some(took) => last.pause.min(took * 2),
            None => last.pause * LONGER_WHILE_IT_RUNS,
        };
        let next = last.began + pause;
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
        let mut pace = Pace::new(200, MS * pause_max_ms);
        let (begun, mut waiting, mut ends_at) = (Instant::now(), 0.0, 0);
        let mut batches = Vec::new();
        for ms in 0..2_000_u32 {
            waiting += per_ms;
            let (records, now) = (waiting as usize, begun + MS * ms);
            let took = (ms >= ends_at).then_some(MS * takes_ms);
            let held = pace.held_until(records, took, now);
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
        let mut pace = Pace::new(50, MS * 100);
        let begun = Instant::now();
        assert_eq!(pace.held_until(1, None, begun), None);
        pace.began(1, begun);
        assert_eq!(pace.held_until(1, Some(MS * 8), begun + MS * 8), None);
    }

    #[test]
    fn batches_stay_small_at_a_low_load_and_grow_with_a_higher_one() {
        assert!(batches(0.1, 8, 100).iter().all(|records| *records == 1));
        let grown = batches(0.5, 60, 100);
        assert!(grown.iter().all(|records| (48..53).contains(records)));
        assert!(batches(0.5, 8, 0).iter().all(|records| *records <= 1));
    }

    #[test]
    fn the_pause_after_a_batch_is_no_longer_than_the_batch() {
        let quick = batches(0.5, 20, 100);
        assert!(quick.iter().all(|records| (19..22).contains(records)));
    }

    #[test]
    fn the_next_batch_waits_for_one_that_takes_long_and_not_for_ever() {
        let longer = batches(0.5, 150, 100);
        assert!(longer.iter().all(|records| (74..77).contains(records)));
        let hanging = batches(0.3, 100_000, 100);
        assert!(hanging.iter().all(|records| (58..63).contains(records)));
    }

    #[test]
    fn one_order_waits_little_for_a_batch_that_takes_long() {
        let mut pace = Pace::new(50, MS * 100);
        let begun = Instant::now();
        pace.began(1, begun);
        assert_eq!(pace.held_until(1, None, begun), Some(begun + MS * 8));
    }

    #[test]
    fn enough_records_are_not_held() {
        let full = batches(5.0, 70, 100);
        assert!(full.iter().all(|records| (200..206).contains(records)));
    }
}
