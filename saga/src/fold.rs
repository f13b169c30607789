//! Folds the records of one batch: each global transaction is run once, and what two records of
//! one xid say differently is run apart, in the order of the log.

use crate::Xid;
use std::collections::HashMap;

/// A batch as waves: no wave names an xid twice, and wave after wave equals one by one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    /// The records to run, by their places in the batch.
    pub waves: Vec<Vec<usize>>,
    /// For each record of the batch, the record that is run for it.
    pub stands_for: Vec<usize>,
}

/// Folds records given by their xids; `same` tells whether two of one xid say the same.
///
/// A record that says what an earlier one said takes its answer. One that says something else is
/// put into a later wave: there the log tells which of them stands.
pub(crate) fn fold(xids: &[Xid], same: impl Fn(usize, usize) -> bool) -> Folded {
    let mut variants: HashMap<Xid, Vec<usize>> = HashMap::with_capacity(xids.len());
    let mut folded = Folded {
        waves: Vec::new(),
        stands_for: Vec::with_capacity(xids.len()),
    };
    for (place, xid) in xids.iter().enumerate() {
        let known = variants.entry(*xid).or_default();
        match known.iter().find(|&&earlier| same(earlier, place)) {
            Some(&earlier) => folded.stands_for.push(earlier),
            None => {
                folded.stands_for.push(place);
                if folded.waves.len() == known.len() {
                    folded.waves.push(Vec::new());
                }
                folded.waves[known.len()].push(place);
                known.push(place);
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold_pairs(pairs: &[(u8, u8)]) -> Folded {
        let xids: Vec<Xid> = pairs.iter().map(|(xid, _)| Xid([*xid; 16])).collect();
        fold(&xids, |one, other| pairs[one].1 == pairs[other].1)
    }

    #[test]
    fn a_repeated_record_is_run_once() {
        let folded = fold_pairs(&[(1, 0), (2, 0), (1, 0)]);
        assert_eq!(
            folded,
            Folded {
                waves: vec![vec![0, 1]],
                stands_for: vec![0, 1, 0]
            }
        );
    }

    #[test]
    fn a_record_that_says_something_else_is_run_after_the_first() {
        let folded = fold_pairs(&[(1, 0), (1, 7), (1, 0), (1, 7)]);
        assert_eq!(
            folded,
            Folded {
                waves: vec![vec![0], vec![1]],
                stands_for: vec![0, 1, 0, 1]
            }
        );
    }

    /// The log in memory: the first body of an xid stands, another one is refused.
    fn begin(log: &mut HashMap<u8, u8>, (xid, body): (u8, u8)) -> bool {
        *log.entry(xid).or_insert(body) == body
    }

    proptest! {
        #[test]
        fn folding_equals_one_by_one(
            pairs in prop::collection::vec((0u8..6, 0u8..3), 0..40),
            before in prop::collection::hash_map(0u8..6, 0u8..3, 0..4),
        ) {
            let mut one_by_one = before.clone();
            let expected: Vec<bool> =
                pairs.iter().map(|pair| begin(&mut one_by_one, *pair)).collect();

            let (folded, mut log) = (fold_pairs(&pairs), before);
            let mut accepted = vec![None; pairs.len()];
            for wave in &folded.waves {
                for &place in wave {
                    accepted[place] = Some(begin(&mut log, pairs[place]));
                }
            }
            let got: Vec<bool> =
                folded.stands_for.iter().map(|&place| accepted[place].unwrap()).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(log, one_by_one);
        }

        #[test]
        fn no_wave_names_an_xid_twice(pairs in prop::collection::vec((0u8..6, 0u8..3), 0..40)) {
            for wave in fold_pairs(&pairs).waves {
                let mut xids: Vec<u8> = wave.iter().map(|&place| pairs[place].0).collect();
                xids.sort_unstable();
                xids.dedup();
                prop_assert_eq!(xids.len(), wave.len());
            }
        }
    }
}
