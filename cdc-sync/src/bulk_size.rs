//! How many documents go into one bulk: as many as Elasticsearch has shown that it takes. Pure.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Grown so many times, a bulk is as large again as it ever gets.
const STEPS: usize = 8;
/// Smaller bulks than this cost more than they spare.
const SIZE_MIN: usize = 50;

/// Halved when a bulk is not taken, grown by steps while bulks are.
#[derive(Debug)]
pub struct BulkSize {
    max: usize,
    now: AtomicUsize,
}

impl BulkSize {
    /// As large as ever.
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            now: AtomicUsize::new(max),
        }
    }

    /// Documents in the next bulk, at least one.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed).max(1)
    }

    /// A bulk was taken whole.
    pub fn taken(&self) {
        let grown = self.now() + self.max / STEPS + 1;
        self.now.store(grown.min(self.max), Ordering::Relaxed);
    }

    /// A bulk, or some of it, was put off.
    pub fn put_off(&self) {
        let least = SIZE_MIN.min(self.max);
        let halved = (self.now() / 2).max(least);
        self.now.store(halved, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_that_is_put_off_comes_again_in_halves_and_grows_back_by_steps() {
        let size = BulkSize::new(800);
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(size.now());
            size.put_off();
        }
        assert_eq!(seen, [800, 400, 200, 100, 50, 50]);
        let steps = std::iter::from_fn(|| {
            size.taken();
            Some(size.now())
        });
        let grown: Vec<usize> = steps.take(STEPS + 1).collect();
        assert_eq!(grown[..2], [151, 252]);
        assert_eq!(grown[STEPS], 800);
    }

    #[test]
    fn a_small_bulk_is_never_empty_and_never_grows_beyond_what_is_set() {
        let size = BulkSize::new(1);
        size.put_off();
        assert_eq!(size.now(), 1);
        size.taken();
        assert_eq!(size.now(), 1);
    }
}
