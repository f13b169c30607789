//! How parked orders behave, with the clock in the test's hands.

use crate::backoff::Backoff;
use crate::parked::{Held, ParkedOrders, Turn};
use crate::record::Source;
use domain::OrderId;
use saga::ShardId;
use std::time::{Duration, Instant};

const SHARD: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);
const BACKOFF: Backoff = Backoff {
    min_ms: 100,
    max_ms: 1_000,
};

fn order(number: u8) -> OrderId {
    OrderId::from_bytes([number; 16])
}

fn first(offset: i64) -> Turn {
    (Source::Commands, offset)
}

fn returned(offset: i64) -> Turn {
    (Source::Retry(SHARD), offset)
}

fn held(parked: &ParkedOrders<&str>, number: u8) -> Held {
    parked.held(order(number), SHARD)
}

fn after(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

#[test]
fn later_records_of_a_parked_order_queue_behind_it() {
    let (mut parked, now) = (ParkedOrders::new(BACKOFF), Instant::now());
    parked.park_failed((order(1), SHARD), first(5), "first", (now, 1.0));
    assert!(held(&parked, 1) == Held::BehindFirst && held(&parked, 2) == Held::Free);
    parked.park_untried((order(1), SHARD), first(9), "second", now);
    assert_eq!(parked.take_due(after(now, 99), 10, 1), None);
    let due = parked.take_due(after(now, 100), 10, 1);
    assert_eq!(due, Some((SHARD, vec!["first", "second"])));
    parked.park_untried((order(1), SHARD), first(11), "third", now);
    parked.retried(SHARD, &[order(1)], after(now, 110));
    let due = parked.take_due(after(now, 110), 10, 1);
    assert_eq!(due, Some((SHARD, vec!["third"])));
    parked.retried(SHARD, &[order(1)], now);
    assert_eq!((parked.count(), parked.next_due()), (0, None));
}

#[test]
fn a_shut_shard_is_probed_by_few_and_opens_for_all() {
    let (mut parked, now) = (ParkedOrders::new(BACKOFF), Instant::now());
    parked.report(SHARD, false, (now, 1.0));
    for number in 0..50 {
        assert_eq!(parked.held(order(number), SHARD), Held::Shut);
        assert_eq!(parked.held(order(number), OTHER), Held::Free);
        parked.park_untried((order(number), SHARD), first(1), number, now);
    }
    assert_eq!(parked.take_due(after(now, 99), 100, 2), None);
    let (_, probe) = parked.take_due(after(now, 100), 100, 2).unwrap();
    assert_eq!(probe, [0, 1]);
    assert_eq!(parked.take_due(after(now, 200), 100, 2), None);
    parked.report(SHARD, true, (after(now, 200), 1.0));
    parked.retried(SHARD, &[order(0), order(1)], after(now, 200));
    let (_, all) = parked.take_due(after(now, 200), 100, 2).unwrap();
    assert_eq!(all.len(), 48);
}

#[test]
fn one_stuck_order_does_not_stop_its_shard() {
    let (mut parked, mut now) = (ParkedOrders::new(BACKOFF), Instant::now());
    for number in 0..5 {
        parked.park_failed((order(number), SHARD), first(1), number, (now, 1.0));
    }
    parked.report(SHARD, false, (now, 1.0));
    let mut through = 0;
    for _ in 0..10 {
        now = after(now, 1_000);
        let Some((_, probe)) = parked.take_due(now, 100, 1) else {
            continue;
        };
        let stuck = probe.contains(&0);
        parked.report(SHARD, !stuck, (now, 1.0));
        let tried: Vec<_> = probe.iter().map(|number| order(*number)).collect();
        for number in probe.iter().filter(|_| stuck) {
            parked.park_failed((order(*number), SHARD), first(1), *number, (now, 1.0));
        }
        through += if stuck { 0 } else { probe.len() };
        parked.retried(SHARD, &tried, now);
    }
    assert_eq!((through, parked.count()), (4, 1));
}

#[test]
fn what_is_no_longer_ours_is_forgotten() {
    let (mut parked, now) = (ParkedOrders::new(BACKOFF), Instant::now());
    parked.park_failed((order(1), SHARD), first(1), 'a', (now, 1.0));
    parked.park_failed((order(2), SHARD), first(2), 'b', (now, 1.0));
    parked.retain(|work| *work == 'b');
    assert_eq!(parked.count(), 1);
    let due = parked.take_due(after(now, 100), 10, 1);
    assert_eq!(due, Some((SHARD, vec!['b'])));
}

#[test]
fn what_came_back_goes_first_and_stays_while_the_others_move() {
    let (mut parked, now) = (ParkedOrders::new(BACKOFF), Instant::now());
    parked.park_untried((order(1), SHARD), returned(900), "back", now);
    assert_eq!(held(&parked, 1), Held::BehindReturned);
    parked.park_untried((order(1), SHARD), first(5), "later", now);
    assert_eq!(held(&parked, 1), Held::BehindFirst);
    parked.park_untried((order(2), SHARD), first(6), "other", after(now, 50));
    assert_eq!(parked.take_parked_before(now), [(0, "later")]);
    assert_eq!(held(&parked, 1), Held::BehindReturned);
    parked.park_untried((order(1), SHARD), first(7), "last", now);
    let due = parked.take_due(after(now, 100), 10, 1);
    assert_eq!(due, Some((SHARD, vec!["back", "last", "other"])));
}

#[test]
fn what_is_being_tried_does_not_move_and_holds_what_comes_later() {
    let (mut parked, now) = (ParkedOrders::new(BACKOFF), Instant::now());
    parked.park_untried((order(1), SHARD), first(5), "tried", now);
    parked.take_due(now, 10, 1).unwrap();
    assert_eq!(held(&parked, 1), Held::BehindFirst);
    parked.park_untried((order(1), SHARD), first(6), "later", now);
    assert_eq!(parked.take_parked_before(after(now, 1_000)), []);
    parked.park_failed((order(1), SHARD), first(5), "tried", (now, 1.0));
    parked.retried(SHARD, &[order(1)], now);
    let moved = parked.take_parked_before(now);
    assert_eq!(moved, [(1, "tried"), (1, "later")]);
    assert_eq!((held(&parked, 1), parked.next_due()), (Held::Free, None));
}
