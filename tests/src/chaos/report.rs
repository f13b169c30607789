//! What a run came to: a table for people, and a file for others.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Makes the same schedule and load again.
    pub seed: u64,
    /// How long faults were at work.
    pub seconds: u64,
    /// Orders that were accepted.
    pub accepted: usize,
    /// Answers of 503.
    pub refused_503: u64,
    /// Orders that were paid.
    pub paid: usize,
    /// Orders that were cancelled.
    pub cancelled: usize,
    /// Accepted orders that are not there or have not ended.
    pub lost: usize,
    /// Orders that happened twice, or moved money they had no right to.
    pub doubled: usize,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Recovery by kind of fault.
    pub recovery_seconds: BTreeMap<String, Recovery>,
    /// Whether each invariant holds, by name.
    pub invariants: BTreeMap<String, bool>,
}

/// How long it took after the end of a kind of fault until orders ended again, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recovery {
    /// The middle one, of two the longer.
    pub p50: f64,
    /// The longest.
    pub max: f64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_green(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.invariants.values().all(|holds| *holds)
    }

    /// Counts these faults, each with the time it took to recover from it.
    pub fn count(&mut self, recoveries: Vec<(String, Duration)>) {
        let mut by_kind: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (kind, time) in recoveries {
            by_kind.entry(kind).or_default().push(rounded(time));
        }
        for (kind, mut seconds) in by_kind {
            seconds.sort_by(f64::total_cmp);
            let recovery = Recovery {
                p50: seconds[seconds.len() / 2],
                max: seconds[seconds.len() - 1],
            };
            self.faults.insert(kind.clone(), seconds.len() as u64);
            self.recovery_seconds.insert(kind, recovery);
        }
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, n, p50, max) = ("fault", "n", "p50 s", "max s");
        writeln!(f, "{fault:<28} {n:>4} {p50:>8} {max:>8}   (recovery)")?;
        for (kind, n) in &self.faults {
            let Some(Recovery { p50, max }) = self.recovery_seconds.get(kind) else {
                continue;
            };
            writeln!(f, "{kind:<28} {n:>4} {p50:>8.2} {max:>8.2}")?;
        }
        let faults: u64 = self.faults.values().sum();
        let Self {
            seed,
            seconds,
            accepted,
            refused_503,
            paid,
            cancelled,
            lost,
            doubled,
            ..
        } = self;
        writeln!(f, "seed {seed}: {faults} faults in {seconds} s")?;
        writeln!(
            f,
            "{accepted} accepted, {refused_503} times 503, {paid} paid, {cancelled} cancelled, \
             {lost} lost, {doubled} doubled"
        )?;
        for (name, holds) in &self.invariants {
            let said = if *holds { "ok" } else { "BROKEN" };
            write!(f, "{name} {said}  ")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn green() -> Report {
        let mut report = Report {
            seed: 7,
            invariants: BTreeMap::from([("INV-1".to_owned(), true)]),
            ..Report::default()
        };
        let of = |ms| ("kill kafka".to_owned(), Duration::from_millis(ms));
        report.count(vec![of(900), of(300), of(500)]);
        report
    }

    #[test]
    fn the_file_has_these_fields_and_no_others() {
        let json = serde_json::to_value(green()).unwrap();
        let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(
            names,
            [
                "accepted",
                "cancelled",
                "doubled",
                "faults",
                "invariants",
                "lost",
                "paid",
                "recovery_seconds",
                "refused_503",
                "seconds",
                "seed"
            ]
        );
        assert_eq!(json["faults"]["kill kafka"], 3);
        assert_eq!(json["recovery_seconds"]["kill kafka"]["p50"], 0.5);
        assert_eq!(json["recovery_seconds"]["kill kafka"]["max"], 0.9);
    }

    #[test]
    fn one_lost_order_or_one_broken_invariant_makes_it_red() {
        assert!(green().is_green());
        let lost = Report { lost: 1, ..green() };
        assert!(!lost.is_green());
        let mut broken = green();
        broken.invariants.insert("INV-8".to_owned(), false);
        assert!(!broken.is_green());
    }
}
