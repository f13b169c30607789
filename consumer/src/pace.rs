//! When the next batch may begin, so that at a moderate load batches are not many and small. Pure.
//!
//! A batch costs several commits on every shard, however few orders are in it. A worker that always
//! took what is there would spend a whole machine on batches of three or four at a load that a tenth
//! of it carries in batches of thirty. So a batch that had company earns the next one a pause: it
//! grows with the batch, and the batch with it, up to a limit. Orders that come one by one do not wait.

use std::time::{Duration, Instant};

/// The pause that one record of a batch earns. Below one record in this time pauses end before the
/// next record comes; above it they grow to the limit.
const PAUSE_PER_RECORD: Duration = Duration::from_millis(4);

/// Holds batches back.
#[derive(Debug)]
pub struct Pace {
    records_enough: usize,
    pause_max: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// No pause is longer than `pause_max`, counted from one batch's beginning to the next one's, and
    /// none holds this many records.
    pub fn new(records_enough: usize, pause_max: Duration) -> Self {
        Self {
            records_enough,
            pause_max,
            next: None,
        }
    }

    /// A batch of so many records begins.
    pub fn began(&mut self, records: usize, now: Instant) {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_RECORD.saturating_mul(records).min(self.pause_max);
        self.next = Some(now + pause);
    }

    /// Until when the `waiting` records are held back, if they are.
    pub fn held_until(&self, waiting: usize, now: Instant) -> Option<Instant> {
        self.next
            .filter(|next| *next > now && waiting < self.records_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The records of each batch while so many come each millisecond and a batch takes 8 ms.
    fn batches(per_ms: f64, pause_max_ms: u32) -> Vec<usize> {
        let mut pace = Pace::new(50, MS * pause_max_ms);
        let (begun, mut waiting, mut free_at) = (Instant::now(), 0.0, 0);
        let mut batches = Vec::new();
        for ms in 0..1_000_u32 {
            waiting += per_ms;
            let (records, now) = (waiting as usize, begun + MS * ms);
            if records > 0 && ms >= free_at && pace.held_until(records, now).is_none() {
                pace.began(records, now);
                batches.push(records);
                waiting -= records as f64;
                free_at = ms + 8;
            }
        }
        batches.split_off(batches.len() / 2)
    }

    #[test]
    fn one_order_after_the_other_is_never_held() {
        let mut pace = Pace::new(50, MS * 30);
        let begun = Instant::now();
        assert_eq!(pace.held_until(1, begun), None);
        pace.began(1, begun);
        assert_eq!(pace.held_until(1, begun + MS * 8), None);
    }

    #[test]
    fn batches_stay_small_at_a_low_load_and_grow_with_a_higher_one() {
        assert!(batches(0.1, 30).iter().all(|records| *records == 1));
        assert!(
            batches(0.5, 30)
                .iter()
                .all(|records| (14..17).contains(records))
        );
        assert!(batches(0.5, 0).iter().all(|records| *records <= 4));
    }

    #[test]
    fn enough_records_are_not_held() {
        assert!(
            batches(5.0, 30)
                .iter()
                .all(|records| (50..56).contains(records))
        );
    }
}
