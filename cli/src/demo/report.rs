//! The figures of a run, as `demo-report.json` has them, and how they differ from what the data
//! demands.

use super::expected::Expected;
use domain::Reason;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

/// The figures of a run. Other people's tools read these names.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Orders sent, repeats not counted.
    pub submitted: usize,
    /// Answered with 400: nothing to pay.
    pub refused: usize,
    /// Repeats that were answered with the first order.
    pub replayed: usize,
    /// Answered with 202.
    pub accepted: usize,
    /// Orders whose money moved.
    pub paid: usize,
    /// Orders whose money did not move.
    pub cancelled: usize,
    /// The same, by reason.
    pub cancelled_by_reason: BTreeMap<Reason, usize>,
    /// What arrived on the shop's account, in minor units.
    pub paid_minor_units: i64,
    /// What is still reserved on any account of the run, in minor units.
    pub held_minor_units: i64,
    /// Orders that search knows; none where there is no search.
    pub searchable: Option<usize>,
    /// From the first request to the last answer.
    pub accept_seconds: f64,
    /// From the first request to the last outcome.
    pub drained_seconds: f64,
    /// From the first request until search knew every outcome.
    pub searchable_seconds: Option<f64>,
    /// `ok`, `breach`, or `unchecked` where a server did not answer.
    pub verify: &'static str,
}

impl Report {
    /// What is not as it must be, one sentence each.
    pub fn mismatches(&self, expected: &Expected) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |what, is: &dyn Debug, must: &dyn Debug| {
            let (is, must) = (format!("{is:?}"), format!("{must:?}"));
            if is != must {
                found.push(format!("{what} is {is}, and must be {must}"));
            }
        };
        check("submitted", &self.submitted, &expected.submitted);
        check("refused", &self.refused, &expected.refused);
        check("replayed", &self.replayed, &expected.replayed);
        check("accepted", &self.accepted, &expected.accepted);
        check("paid", &self.paid, &expected.paid);
        check("cancelled", &self.cancelled, &expected.cancelled());
        check(
            "cancelled by reason",
            &self.cancelled_by_reason,
            &expected.cancelled_by_reason,
        );
        check(
            "the money moved, in minor units,",
            &self.paid_minor_units,
            &expected.paid_minor_units,
        );
        check(
            "the money held, in minor units,",
            &self.held_minor_units,
            &0,
        );
        if let Some(searchable) = self.searchable {
            check("searchable", &searchable, &expected.accepted);
        }
        check("verify", &self.verify, &"ok");
        found
    }

    /// Writes the figures as JSON, whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let partial = path.with_extension("partial");
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&partial, text)?;
        Ok(std::fs::rename(&partial, path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{data, expected::expected};

    fn right() -> (Report, Expected) {
        let expected = expected(&data::rows(None).unwrap());
        let report = Report {
            submitted: expected.submitted,
            refused: expected.refused,
            replayed: expected.replayed,
            accepted: expected.accepted,
            paid: expected.paid,
            cancelled: expected.cancelled(),
            cancelled_by_reason: expected.cancelled_by_reason.clone(),
            paid_minor_units: expected.paid_minor_units,
            held_minor_units: 0,
            searchable: Some(expected.accepted),
            accept_seconds: 1.0,
            drained_seconds: 1.0,
            searchable_seconds: Some(1.0),
            verify: "ok",
        };
        (report, expected)
    }

    #[test]
    fn a_run_that_went_right_has_no_mismatch_and_any_other_has() {
        let (report, expected) = right();
        assert_eq!(report.mismatches(&expected), Vec::<String>::new());
        let changes: [fn(&mut Report); 8] = [
            |r| r.paid -= 1,
            |r| r.replayed += 1,
            |r| r.refused = 0,
            |r| r.paid_minor_units += 1,
            |r| r.held_minor_units = 5,
            |r| r.searchable = Some(3),
            |r| r.verify = "breach",
            |r| r.cancelled_by_reason.clear(),
        ];
        for change in changes {
            let mut wrong = report.clone();
            change(&mut wrong);
            assert_eq!(wrong.mismatches(&expected).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn the_file_has_exactly_the_keys_that_others_read() {
        let json = serde_json::to_value(right().0).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        let mut wanted = [
            "submitted",
            "refused",
            "replayed",
            "accepted",
            "paid",
            "cancelled",
            "cancelled_by_reason",
            "paid_minor_units",
            "held_minor_units",
            "searchable",
            "accept_seconds",
            "drained_seconds",
            "searchable_seconds",
            "verify",
        ];
        let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
        keys.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!(json["cancelled_by_reason"]["insufficient_funds"], 411);
    }
}
