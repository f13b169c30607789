//! Which offsets of one partition are open, and so how far it may be committed.
//!
//! An offset is open from its receipt until its record's outcome is in a database or it is an
//! acknowledged dead letter. The watermark never passes an open offset, so a parked record holds it
//! back while the partition goes on. Memory grows with what is open, not with what was done.

use std::collections::BTreeSet;

/// The offsets of one partition under one assignment.
#[derive(Debug, Default)]
pub struct OffsetLedger {
    open: BTreeSet<i64>,
    next: Option<i64>,
    /// What was taken to be committed.
    taken: Option<i64>,
    /// The broker was heard without it.
    doubted: bool,
}

impl OffsetLedger {
    /// Of what is read from here on: so much may be committed before anything is received.
    pub fn read_from(next: i64) -> Self {
        Self {
            next: Some(next).filter(|next| *next > 0),
            ..Self::default()
        }
    }

    /// A record of this offset is in hand.
    pub fn receive(&mut self, offset: i64) {
        self.open.insert(offset);
        self.next = self.next.max(Some(offset + 1));
    }

    /// The outcome of this offset is durable.
    pub fn done(&mut self, offset: i64) {
        self.open.remove(&offset);
    }

    /// The offset from which whoever comes next has to read; `None` when that is not known here.
    pub fn watermark(&self) -> Option<i64> {
        self.open.first().copied().or(self.next)
    }

    /// The watermark, if it passed what was taken before. It never goes back.
    pub fn take_commit(&mut self) -> Option<i64> {
        let watermark = self.watermark().filter(|w| Some(*w) > self.taken)?;
        (self.taken, self.doubted) = (Some(watermark), false);
        Some(watermark)
    }

    /// The last commit that the broker acknowledged. `true`: the second time in a row it is not what
    /// was taken, which therefore is due again. The client tells of no commit that fails.
    pub fn acknowledged(&mut self, offset: i64) -> bool {
        let behind = self.taken.is_some_and(|taken| offset < taken);
        let lost = behind && self.doubted;
        self.doubted = behind && !lost;
        if lost {
            self.commit_again();
        }
        lost
    }

    /// What was taken is due again, so that the broker does not forget it as too old.
    pub fn commit_again(&mut self) {
        self.taken = None;
    }

    /// How many offsets are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_open_offset_holds_the_watermark_and_no_other_work() {
        let mut ledger = OffsetLedger::default();
        assert_eq!(ledger.take_commit(), None);
        (10..15).for_each(|offset| ledger.receive(offset));
        [10, 12, 13, 14]
            .into_iter()
            .for_each(|offset| ledger.done(offset));
        assert_eq!(ledger.take_commit(), Some(11));
        assert_eq!(ledger.take_commit(), None);
        assert_eq!(ledger.open(), 1);
        ledger.done(11);
        assert_eq!(ledger.take_commit(), Some(15));
    }

    #[test]
    fn a_commit_that_is_not_acknowledged_is_due_again() {
        let mut ledger = OffsetLedger::default();
        ledger.receive(4);
        ledger.done(4);
        assert_eq!(ledger.take_commit(), Some(5));
        assert!(!ledger.acknowledged(3));
        assert!(ledger.acknowledged(3));
        assert_eq!(ledger.take_commit(), Some(5));
        assert!(!ledger.acknowledged(3));
        assert!(!ledger.acknowledged(5));
        assert!(!ledger.acknowledged(5));
        assert_eq!(ledger.take_commit(), None);
    }

    #[test]
    fn where_the_reading_begins_is_committed_and_again_when_asked() {
        let mut ledger = OffsetLedger::read_from(7);
        assert_eq!(ledger.take_commit(), Some(7));
        assert_eq!(ledger.take_commit(), None);
        ledger.commit_again();
        assert_eq!(ledger.take_commit(), Some(7));
        ledger.receive(7);
        ledger.commit_again();
        assert_eq!(ledger.take_commit(), Some(7), "7 is open");
        assert_eq!(OffsetLedger::read_from(0).take_commit(), None);
    }

    proptest! {
        /// Offsets have gaps, outcomes come in any order, and a commit is taken at any time.
        #[test]
        fn commits_grow_and_never_pass_an_open_offset(
            gaps in proptest::collection::vec(1_i64..4, 1..60),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 60),
        ) {
            let mut ledger = OffsetLedger::default();
            let mut open: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let last = *open.last().unwrap();
            open.iter().for_each(|offset| ledger.receive(*offset));
            let mut committed = i64::MIN;
            for pick in order {
                if open.is_empty() { break; }
                ledger.done(open.swap_remove(pick.index(open.len())));
                if let Some(offset) = ledger.take_commit() {
                    prop_assert!(offset > committed);
                    prop_assert!(open.iter().all(|o| *o >= offset));
                    committed = offset;
                }
                prop_assert_eq!(ledger.open(), open.len());
            }
            open.drain(..).for_each(|offset| ledger.done(offset));
            prop_assert_eq!(ledger.watermark(), Some(last + 1));
        }
    }
}
