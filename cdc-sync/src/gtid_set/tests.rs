//! Sets of ids against a model, and their text.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.parse().unwrap()
}

#[test]
fn a_set_reads_as_mysql_writes_it() {
    for (text, expected) in [
        ("", String::new()),
        ("A:1-5", "A:1-5".into()),
        ("A:1-5:6:9", "A:1-6:9".into()),
        ("A:1-12:pay:1", "A:1-12,A:pay:1".into()),
        ("A:pay:1-2:4:zebra:7", "A:pay:1-2:4,A:zebra:7".into()),
        ("A:7,\nA:1-6", "A:1-7".into()),
    ] {
        let parsed = set(&text.replace('A', A));
        assert_eq!(parsed.to_string(), expected.replace('A', A), "{text}");
    }
}

#[test]
fn a_text_that_is_no_set_is_refused() {
    for text in [
        "x:1",
        "A",
        "A:0",
        "A:5-4",
        "A:1-",
        "A:1-18446744073709551615",
        "A:Ä:1",
    ] {
        let parsed = text.replace('A', A).parse::<GtidSet>();
        let empty = parsed.as_ref().is_ok_and(GtidSet::is_empty);
        assert!(parsed.is_err() || empty, "{text}: {parsed:?}");
    }
}

#[test]
fn each_uuid_and_tag_is_a_block_of_its_own_in_a_dump_request() {
    let sids = set(&format!("{A}:1-3:5:pay:1")).to_sids().unwrap();
    let texts: Vec<String> = sids.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [format!("{A}:1-3:5"), format!("{A}:pay:1")]);
}

type Model = BTreeSet<(u8, Option<bool>, u64)>;

fn of_model(model: &Model) -> GtidSet {
    let mut set = GtidSet::default();
    for &(server, tag, number) in model {
        let tag = tag.map(|t| {
            if t {
                "pay".to_owned()
            } else {
                "other".to_owned()
            }
        });
        let uuid = [server; 16];
        let source = Source { uuid, tag };
        set.insert(Gtid { source, number });
    }
    set
}

fn any_model() -> impl Strategy<Value = Model> {
    let id = (0_u8..2, any::<Option<bool>>(), 1_u64..30);
    proptest::collection::btree_set(id, 0..60)
}

proptest! {
    #[test]
    fn sets_behave_as_sets_of_ids(a in any_model(), b in any_model()) {
        let (x, y) = (of_model(&a), of_model(&b));
        prop_assert_eq!(x.contains(&y), b.is_subset(&a));
        let mut merged = x.clone();
        merged.merge(&y);
        prop_assert_eq!(&merged, &of_model(&a.union(&b).copied().collect()));
        prop_assert_eq!(merged.len(), a.union(&b).count() as u64);
        prop_assert!(merged.contains(&x) && merged.contains(&y));
    }

    #[test]
    fn the_text_is_read_back_as_written(a in any_model()) {
        let x = of_model(&a);
        prop_assert_eq!(set(&x.to_string()), x);
    }

    #[test]
    fn the_order_of_insertion_does_not_matter(ids in proptest::collection::vec(1_u64..50, 0..60)) {
        let model: Model = ids.iter().map(|&n| (0, None, n)).collect();
        let mut shuffled = GtidSet::default();
        for number in ids {
            let source = Source { uuid: [0; 16], tag: None };
            shuffled.insert(Gtid { source, number });
        }
        prop_assert_eq!(shuffled, of_model(&model));
    }
}

#[test]
fn any_text_is_a_set_that_is_read_back_or_an_error() {
    let good = [
        "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5:11-18",
        "3e11fa47-71ca-11e1-9e33-c80aa9429562:23, 3e11fa47-71ca-11e1-9e33-c80aa9429563:tag:1-2",
        "00000000-0000-0000-0000-000000000001:18446744073709551614",
    ];
    let good = good.map(|text| text.as_bytes().to_vec());
    domain::mangled::each_mangled(&good, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(read) = text.parse::<GtidSet>() {
            let _ = (read.len(), read.to_sids());
            assert_eq!(set(&read.to_string()), read);
        }
    });
}
