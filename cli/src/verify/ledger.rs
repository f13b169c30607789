//! INV-1 to INV-6 as far as the order and account databases show them: the store's own check.

use super::findings::{Breach, Finding, Invariant};
use store::Stores;
use store::verify::Report;

/// Checks them.
pub async fn check(stores: &Stores) -> Vec<(Invariant, Finding)> {
    sort(store::verify::run(stores).await)
}

fn sort(report: Report) -> Vec<(Invariant, Finding)> {
    let mut found = Vec::new();
    for breach in report.breaches {
        let finding = Finding {
            breaches: vec![Breach {
                what: breach.text,
                rows: breach.rows,
            }],
            ..Finding::default()
        };
        // A name we do not know is still a breach of what the store promises: its money.
        let invariant = Invariant::named(breach.invariant).unwrap_or(Invariant::Money);
        found.push((invariant, finding));
    }
    let in_flight = Finding {
        in_flight: report.in_flight,
        ..Finding::default()
    };
    found.push((Invariant::OneOutcome, in_flight));
    for down in report.unreachable {
        let why = format!("{} did not answer: {}", down.shard, down.cause);
        let seen_by_the_stores = Invariant::ALL.into_iter().take(6);
        found.extend(seen_by_the_stores.map(|invariant| (invariant, Finding::unchecked(&why))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::findings::{Findings, Verdict};
    use super::*;

    #[test]
    fn a_database_that_is_down_leaves_its_invariants_unchecked() {
        let report = Report {
            unreachable: vec![store::verify::Unreachable {
                shard: "accounts-1".into(),
                cause: "connection refused".into(),
            }],
            ..Report::default()
        };
        assert_eq!(Findings::of(sort(report)).verdict(), Verdict::Unchecked);
    }

    #[test]
    fn a_breach_goes_under_its_own_name() {
        let report = Report {
            breaches: vec![store::verify::Breach {
                invariant: "INV-5",
                text: "a hold is left".into(),
                rows: vec!["holds 7".into()],
            }],
            ..Report::default()
        };
        let findings = Findings::of(sort(report));
        assert_eq!(findings.verdict(), Verdict::Breach);
        assert!(!findings.invariants[&Invariant::NoOrphan].ok);
        assert!(findings.invariants[&Invariant::Money].ok);
    }
}
