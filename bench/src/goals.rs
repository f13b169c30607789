//! What the figures are to be.

use crate::measured::{FollowRun, OverloadRun, rates};
use crate::samples::{Samples, figure};
use crate::session::Results;

const OF_LIMIT_MIN: f64 = 0.5;
const AGAINST_NAIVE_MIN: f64 = 8.0;
const RECOVERY_OF_DRAIN_MIN: f64 = 0.5;
const ALONE_P50_MS_MAX: f64 = 15.0;
const SERVICE_MB_MAX: f64 = 100.0;
/// Less a tenth, which is what two runs on one machine may differ by.
const BACK_MIN: f64 = 0.9;
const GROWTH_MB_MAX: f64 = 10.0;
const OF_DIRECT_MIN_PERCENT: f64 = 60.0;
const SEARCHABLE_MS_MAX: f64 = 1_500.0;

/// A goal and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// In words.
    pub what: String,
    measured: f64,
    unit: &'static str,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// Whether it was reached.
    pub fn met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.measured >= least,
            Bound::AtMost(most) => self.measured <= most,
        }
    }

    /// What was measured, for people.
    pub fn shown(&self) -> String {
        format!("{}{}", figure(self.measured), self.unit)
    }
}

/// The goals that these results can be held against.
pub fn of(results: &Results) -> Vec<Goal> {
    let drain = rates(&results.drain).median();
    let (limit, naive) = (
        rates(&results.limit).median(),
        rates(&results.naive).median(),
    );
    let alone = results
        .alone
        .iter()
        .map(|one| one.latencies.quantile_ms(0.5));
    let alone: Samples = alone.collect();
    let mut goals = vec![
        Goal {
            what: format!("drain >= {:.0} % of limit", OF_LIMIT_MIN * 100.0),
            measured: drain / limit * 100.0,
            unit: " %",
            bound: Bound::AtLeast(OF_LIMIT_MIN * 100.0),
        },
        Goal {
            what: format!("drain >= {AGAINST_NAIVE_MIN} x naive"),
            measured: drain / naive,
            unit: " x",
            bound: Bound::AtLeast(AGAINST_NAIVE_MIN),
        },
        Goal {
            what: format!(
                "recovery >= {:.0} % of drain",
                RECOVERY_OF_DRAIN_MIN * 100.0
            ),
            measured: rates(&results.recovery).median() / drain * 100.0,
            unit: " %",
            bound: Bound::AtLeast(RECOVERY_OF_DRAIN_MIN * 100.0),
        },
        Goal {
            what: format!("alone p50 <= {ALONE_P50_MS_MAX} ms"),
            measured: alone.median(),
            unit: " ms",
            bound: Bound::AtMost(ALONE_P50_MS_MAX),
        },
    ];
    goals.extend(of_search(results));
    goals.extend(results.overload.iter().flat_map(of_overload));
    goals.extend(results.peaks.0.iter().map(|(name, mb)| Goal {
        what: format!("{name} <= {SERVICE_MB_MAX} MB"),
        measured: *mb,
        unit: " MB",
        bound: Bound::AtMost(SERVICE_MB_MAX),
    }));
    goals.retain(|goal| !goal.measured.is_nan());
    goals
}

fn of_search(results: &Results) -> [Goal; 3] {
    let rate = |of: fn(&FollowRun) -> f64| results.follow.iter().map(of).collect::<Samples>();
    let direct = rate(|one| one.direct.rate()).median();
    let share = |what: &str, rates: Samples| Goal {
        what: format!("{what} >= {OF_DIRECT_MIN_PERCENT} % of a direct load"),
        measured: rates.median() / direct * 100.0,
        unit: " %",
        bound: Bound::AtLeast(OF_DIRECT_MIN_PERCENT),
    };
    let lags = results.half_load.iter();
    let lags: Samples = lags.map(|one| one.lags.quantile_ms(0.99)).collect();
    [
        share("replication", rate(|one| one.replication.rate())),
        share("snapshot", rate(|one| one.snapshot.rate())),
        Goal {
            what: format!("paid to searchable p99 <= {SEARCHABLE_MS_MAX} ms at half load"),
            measured: lags.median(),
            unit: " ms",
            bound: Bound::AtMost(SEARCHABLE_MS_MAX),
        },
    ]
}

fn of_overload(one: &OverloadRun) -> [Goal; 2] {
    [
        Goal {
            what: format!(
                "capacity from 5 s after overload on >= {:.0} % of before",
                BACK_MIN * 100.0
            ),
            measured: one.after.median() / one.before.median() * 100.0,
            unit: " %",
            bound: Bound::AtLeast(BACK_MIN * 100.0),
        },
        Goal {
            what: format!("order-api grows under overload by <= {GROWTH_MB_MAX} MB"),
            measured: one.grown_mb,
            unit: " MB",
            bound: Bound::AtMost(GROWTH_MB_MAX),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_no_goal() {
        assert_eq!(of(&Results::default()), []);
    }

    #[test]
    fn a_bound_itself_is_within() {
        let goal = |measured, bound| Goal {
            what: String::new(),
            measured,
            unit: " x",
            bound,
        };
        assert!(goal(8.0, Bound::AtLeast(8.0)).met());
        assert!(!goal(7.9, Bound::AtLeast(8.0)).met());
        assert!(!goal(15.1, Bound::AtMost(15.0)).met());
    }
}
