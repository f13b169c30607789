//! What is taken from partitions, and when.

use crate::partitions::Partitions;
use crate::record::{Place, Source};
use saga::ShardId;

fn place(partition: i32, offset: i64) -> Place {
    Place {
        partition,
        generation: 1,
        source: Source::Commands,
        offset,
    }
}

fn filled(partitions: i32, records: i64) -> Partitions<Place> {
    let mut all = Partitions::default();
    for number in 0..partitions {
        all.assign(number, 1);
        all.know(number, 1, &[]);
        for offset in 0..records {
            assert!(all.receive(place(number, offset), 0));
            all.wait(place(number, offset), place(number, offset));
        }
    }
    all
}

#[test]
fn batches_at_once_never_share_a_partition_and_all_get_their_turn() {
    let mut all = filled(3, 10);
    let (first, first_busy) = all.take(8);
    let (second, _) = all.take(15);
    assert!(first.iter().all(|p| p.partition == 0));
    assert!(second.iter().all(|p| p.partition != 0));
    assert_eq!(all.take(8).0.len(), 0);
    all.release(&first_busy);
    assert_eq!(all.take(8).0, [place(0, 8), place(0, 9)]);
}

#[test]
fn what_was_read_under_an_earlier_assignment_counts_for_nothing() {
    let mut all = filled(1, 2);
    all.done(place(0, 0));
    assert_eq!(all.revoke(0), Some((0, 1)));
    all.assign(0, 2);
    assert!(!all.receive(place(0, 1), 0));
    all.done(place(0, 1));
    assert_eq!(all.take_commits(), []);
}

#[test]
fn a_busy_partition_that_came_back_is_not_busy() {
    let mut all = filled(1, 2);
    let (_, busy) = all.take(2);
    all.revoke(0);
    all.assign(0, 2);
    assert!(!all.is_busy(0));
    assert_eq!(all.take(2).0, []);
    all.release(&busy);
    assert!(!all.owns(place(0, 0)));
}

#[test]
fn what_came_back_goes_first_and_takes_half_at_most_while_others_wait() {
    let mut all = filled(1, 10);
    all.know(0, 1, &[(ShardId(0), 0, 6)]);
    for offset in 0..6 {
        let source = Source::Retry(ShardId(0));
        let back = Place {
            source,
            ..place(0, offset)
        };
        assert!(all.receive(back, 0));
        all.wait(back, back);
    }
    let (works, busy) = all.take(4);
    let back = |work: &Place| work.source != Source::Commands;
    assert_eq!(
        works.iter().map(back).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    all.release(&busy);
    let (works, _) = all.take(100);
    assert_eq!(works.iter().filter(|work| back(work)).count(), 4);
    assert_eq!(works.len(), 12);
}

#[test]
fn nothing_is_taken_until_it_is_known_what_stands_on_the_retry_topic() {
    let mut all = Partitions::default();
    all.assign(0, 1);
    assert!(all.receive(place(0, 0), 0));
    all.wait(place(0, 0), ());
    assert_eq!(all.take(10).0.len(), 0);
    all.know(0, 2, &[]);
    assert_eq!(all.take(10).0.len(), 0);
    all.know(0, 1, &[]);
    assert_eq!(all.take(10).0.len(), 1);
}
