//! The way over the retry topic, for the records of one order shard on one partition: pure.
//!
//! While a part of the retry topic holds a record that was not taken back, every later record of
//! that partition and shard has to go behind it, or it might overtake one of its own order. So it
//! takes the same way. Records of other shards do not: an order has one shard, and so one part.
//!
//! A steady flow would keep the detour open for ever, each record sent behind the last. So it is
//! *closed*: when little is left and the shard is reached, records wait here instead, until what
//! is left was taken back. If that takes too long, they take the detour after all, and it is left
//! open for a while.

use crate::offsets::OffsetLedger;
use crate::parked::Held;
use crate::record::Source;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// With this many records or fewer left to take back, the detour is closed.
const LEFT_TO_CLOSE: i64 = 500;
/// How long records wait for it at most.
const CLOSING: Duration = Duration::from_secs(1);
/// How long after the beginning of a closing that failed the next may begin.
const CLOSE_AGAIN: Duration = Duration::from_secs(10);

/// What is to be done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Try it.
    Run,
    /// Park it behind its order's, or its shard's.
    Park,
    /// Send it over the retry topic.
    Detour,
    /// Let it wait until the detour is closed.
    Wait,
}

/// How the detour stands for a new record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Nothing is on it.
    Straight,
    /// The last records on it are being taken back.
    Closing,
    /// In use.
    Detour,
}

/// What to do with a record. Whatever is older of its order stays before it: what is parked from the
/// commands' topic (that came when the road was straight, and moves as a whole), then what is on
/// the detour, then what came back.
pub fn way(source: Source, held: Held, road: Road) -> Way {
    match (source, held, road) {
        (Source::Retry(_), Held::Free, _) => Way::Run,
        (Source::Retry(_), Held::Shut | Held::BehindReturned | Held::BehindFirst, _) => Way::Park,
        (Source::Commands, Held::BehindFirst, _) => Way::Park,
        (Source::Commands, Held::Free | Held::Shut | Held::BehindReturned, Road::Detour) => {
            Way::Detour
        }
        (Source::Commands, Held::Free | Held::Shut | Held::BehindReturned, Road::Closing) => {
            Way::Wait
        }
        (Source::Commands, Held::Shut | Held::BehindReturned, Road::Straight) => Way::Park,
        (Source::Commands, Held::Free, Road::Straight) => Way::Run,
    }
}

/// One part of the retry topic, with waiting works of type `W`.
#[derive(Debug)]
pub struct Detour<W> {
    /// The offsets of what came back.
    pub offsets: OffsetLedger,
    /// Which offset is read next.
    next: i64,
    /// The offset after the last record known to stand there.
    end: i64,
    /// Records that came back and wait in line.
    in_line: usize,
    /// Records on their way there.
    sending: usize,
    /// Of what came back and may be unfinished: offsets and when they were accepted, in Unix
    /// milliseconds.
    accepted: VecDeque<(i64, i64)>,
    closing_since: Option<Instant>,
    waiting: VecDeque<W>,
}

impl<W> Detour<W> {
    /// A part that is read from `next` on and ends at `end`.
    pub fn new(next: i64, end: i64) -> Self {
        Self {
            offsets: OffsetLedger::read_from(next),
            next,
            end,
            in_line: 0,
            sending: 0,
            accepted: VecDeque::new(),
            closing_since: None,
            waiting: VecDeque::new(),
        }
    }

    /// Whether something is on it that was not taken back.
    pub fn in_use(&self) -> bool {
        self.sending > 0 || self.in_line > 0 || self.next < self.end
    }

    /// How many records have no outcome yet, as far as is known.
    pub fn unfinished(&self) -> i64 {
        self.end - self.offsets.watermark().unwrap_or(self.next).min(self.end)
    }

    /// When the oldest of what came back and is unfinished was accepted, in Unix milliseconds.
    pub fn oldest_ms(&mut self) -> Option<i64> {
        let unfinished = self.offsets.watermark()?;
        while self
            .accepted
            .front()
            .is_some_and(|(at, _)| *at < unfinished)
        {
            self.accepted.pop_front();
        }
        self.accepted.front().map(|(_, ms)| *ms)
    }

    /// A record of this offset came back, accepted then.
    pub fn receive(&mut self, offset: i64, accepted_ms: i64) {
        self.oldest_ms();
        self.accepted.push_back((offset, accepted_ms));
        self.offsets.receive(offset);
        self.next = self.next.max(offset + 1);
        self.end = self.end.max(self.next);
    }

    /// It waits in line.
    pub fn line_up(&mut self) {
        self.in_line += 1;
    }

    /// It left the line, to be tried or parked.
    pub fn leave_line(&mut self) {
        self.in_line = self.in_line.saturating_sub(1);
    }

    /// A record is on its way there.
    pub fn send(&mut self) {
        self.sending += 1;
    }

    /// It stands there, at this offset.
    pub fn sent(&mut self, offset: i64) {
        self.sending = self.sending.saturating_sub(1);
        self.end = self.end.max(offset + 1);
    }

    /// How it stands for a new record. Closes it if that can be.
    pub fn road(&mut self, shut: bool, now: Instant) -> Road {
        if !self.in_use() && self.waiting.is_empty() {
            self.closing_since = None;
            return Road::Straight;
        }
        let over = |since: Instant| now >= since + CLOSE_AGAIN;
        if self.waiting.is_empty() && self.closing_since.is_none_or(over) {
            let near = self.sending == 0 && self.end - self.next <= LEFT_TO_CLOSE;
            self.closing_since = Some(now).filter(|_| near && !shut);
        }
        if self.is_closing(shut, now) {
            Road::Closing
        } else {
            Road::Detour
        }
    }

    /// Lets a work wait for the closing.
    pub fn wait(&mut self, work: W) {
        self.waiting.push_back(work);
    }

    /// The works that need not wait for the closing any longer, and their way: straight on, before
    /// all later ones, or over the detour.
    pub fn release(&mut self, shut: bool, now: Instant) -> (Road, VecDeque<W>) {
        let road = match (self.in_use(), self.is_closing(shut, now)) {
            (false, _) => Road::Straight,
            (true, true) => return (Road::Closing, VecDeque::new()),
            (true, false) => Road::Detour,
        };
        (road, std::mem::take(&mut self.waiting))
    }

    /// When a closing that does not succeed is given up.
    pub fn give_up_at(&self) -> Option<Instant> {
        let since = self.closing_since.filter(|_| !self.waiting.is_empty())?;
        Some(since + CLOSING)
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    fn is_closing(&self, shut: bool, now: Instant) -> bool {
        !shut
            && self
                .closing_since
                .is_some_and(|since| now < since + CLOSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_detour_closes_when_little_is_left_and_works_wait_for_that() {
        let (mut detour, start) = (Detour::new(0, 600), Instant::now());
        assert_eq!(detour.road(false, start), Road::Detour);
        (0..599).for_each(|offset| detour.receive(offset, 0));
        assert_eq!(detour.road(true, start), Road::Detour);
        assert_eq!(detour.road(false, start), Road::Closing);
        detour.wait("held");
        assert_eq!(detour.release(false, at(start, 999)).0, Road::Closing);
        detour.receive(599, 0);
        detour.line_up();
        assert_eq!(detour.road(false, at(start, 10)), Road::Closing);
        detour.leave_line();
        let (road, works) = detour.release(false, at(start, 10));
        assert_eq!((road, works.len()), (Road::Straight, 1));
        assert_eq!(detour.road(false, at(start, 10)), Road::Straight);
    }

    #[test]
    fn a_closing_that_takes_long_or_whose_shard_is_shut_is_given_up() {
        let (mut detour, start) = (Detour::new(0, 1), Instant::now());
        assert_eq!(detour.road(false, start), Road::Closing);
        detour.wait("held");
        assert_eq!(detour.give_up_at(), Some(at(start, 1_000)));
        assert_eq!(detour.release(true, start).0, Road::Detour);
        assert_eq!(detour.road(false, at(start, 1_000)), Road::Detour);
        assert_eq!(detour.road(false, at(start, 9_999)), Road::Detour);
        assert_eq!(detour.road(false, at(start, 10_000)), Road::Closing);
    }

    #[test]
    fn what_is_on_its_way_there_and_what_came_back_unfinished_counts() {
        let mut detour: Detour<()> = Detour::new(4, 4);
        assert!(!detour.in_use());
        detour.send();
        assert!(detour.in_use());
        detour.sent(4);
        assert!(detour.in_use());
        assert_eq!((detour.unfinished(), detour.oldest_ms()), (1, None));
        detour.receive(4, 70);
        assert!(!detour.in_use());
        assert_eq!((detour.unfinished(), detour.oldest_ms()), (1, Some(70)));
        detour.offsets.done(4);
        assert_eq!((detour.unfinished(), detour.oldest_ms()), (0, None));
    }
}
