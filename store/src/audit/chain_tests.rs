//! The encoding tells any two entries apart, and a chain tells what was done to it.

use super::*;
use domain::StoreKind;
use proptest::prelude::*;

const SHARD: ShardName = ShardName {
    store: StoreKind::Accounts,
    index: 0,
};

prop_compose! {
    /// Texts of few letters and lengths, so that different fields often join to the same text.
    fn entries()(
        seq in 1_u64..4,
        micros in 0_i64..4,
        texts in proptest::collection::vec("[ab]{0,3}", 7),
        prev in 0_u8..2,
    ) -> Entry {
        Entry {
            seq,
            at: DateTime::from_timestamp_micros(micros).unwrap(),
            tenant: texts[0].clone(),
            actor: texts[1].clone(),
            via: texts[2].clone(),
            action: texts[3].clone(),
            object: texts[4].clone(),
            detail: texts[5].clone(),
            request_id: texts[6].clone(),
            prev_hash: EntryHash::from_bytes([prev; 32]),
            hash: EntryHash::NONE,
        }
    }
}

fn encoded(shard: ShardName, entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(shard, entry, |part| bytes.extend_from_slice(part));
    bytes
}

/// Moves the end of one text of an entry to the beginning of the next.
fn with_a_letter_moved(entry: &Entry, text: usize) -> Entry {
    let mut moved = entry.clone();
    let texts = [
        &mut moved.tenant,
        &mut moved.actor,
        &mut moved.via,
        &mut moved.action,
        &mut moved.object,
        &mut moved.detail,
        &mut moved.request_id,
    ];
    if let Some(letter) = texts[text].pop() {
        texts[text + 1].insert(0, letter);
    }
    moved
}

proptest! {
    #[test]
    fn two_entries_encode_alike_only_if_they_are_the_same(a in entries(), b in entries()) {
        prop_assert_eq!(encoded(SHARD, &a) == encoded(SHARD, &b), a == b);
        prop_assert_eq!(hash_of(SHARD, &a) == hash_of(SHARD, &b), a == b);
    }

    #[test]
    fn a_letter_that_moves_to_the_next_field_changes_the_hash(a in entries(), text in 0_usize..6) {
        let moved = with_a_letter_moved(&a, text);
        prop_assert_eq!(hash_of(SHARD, &a) == hash_of(SHARD, &moved), a == moved);
    }
}

/// A sound chain of so many entries.
fn chain(length: u64) -> Vec<Entry> {
    let mut head = Head::EMPTY;
    let entry = |seq| {
        let mut entry = Entry {
            seq,
            at: DateTime::from_timestamp_micros(1_000 + seq as i64).unwrap(),
            tenant: "demo".into(),
            actor: "ada".into(),
            via: "api".into(),
            action: "account.opened".into(),
            object: format!("acct_{seq}"),
            detail: "{}".into(),
            request_id: format!("r{seq}"),
            prev_hash: head.hash,
            hash: EntryHash::NONE,
        };
        entry.hash = hash_of(SHARD, &entry);
        head = head.next(SHARD, &entry).unwrap();
        entry
    };
    (1..=length).map(entry).collect()
}

fn first_break(entries: &[Entry]) -> Option<Break> {
    let followed = entries
        .iter()
        .try_fold(Head::EMPTY, |head, entry| head.next(SHARD, entry));
    followed.err()
}

#[test]
fn any_field_of_an_entry_that_changes_is_seen_at_that_entry() {
    assert_eq!(first_break(&chain(5)), None);
    let changes: [fn(&mut Entry); 10] = [
        |e| e.at += chrono::TimeDelta::microseconds(1),
        |e| e.tenant.push('x'),
        |e| e.actor = "eve".into(),
        |e| e.via = "command".into(),
        |e| e.action = "account.closed".into(),
        |e| e.object.clear(),
        |e| e.detail = "{ }".into(),
        |e| e.request_id.push(' '),
        |e| e.prev_hash = EntryHash::from_bytes([1; 32]),
        |e| e.hash = EntryHash::from_bytes([1; 32]),
    ];
    for change in changes {
        let mut entries = chain(5);
        change(&mut entries[2]);
        assert_eq!(first_break(&entries), Some(Break::Altered { seq: 3 }));
    }
}

#[test]
fn an_entry_of_another_shard_does_not_fit() {
    let other = ShardName { index: 1, ..SHARD };
    let entry = &chain(1)[0];
    let broken = Head::EMPTY.next(other, entry);
    assert_eq!(broken, Err(Break::Altered { seq: 1 }));
}

#[test]
fn entries_that_are_gone_are_named() {
    let mut entries = chain(5);
    entries.drain(1..3);
    let gone = Break::Missing {
        from: 2,
        through: 3,
    };
    assert_eq!(first_break(&entries), Some(gone));
    let beheaded = chain(5).split_off(1);
    let gone = Break::Missing {
        from: 1,
        through: 1,
    };
    assert_eq!(first_break(&beheaded), Some(gone));
}

#[test]
fn an_entry_that_was_replaced_by_a_whole_one_is_seen_at_the_next() {
    let mut entries = chain(5);
    entries[2].actor = "eve".into();
    entries[2].hash = hash_of(SHARD, &entries[2]);
    assert_eq!(first_break(&entries), Some(Break::Unlinked { seq: 4 }));
}
