//! What `holdfast verify --json` said, judged: a breach fails by the invariant's name.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Every invariant that `verify` checks.
pub(crate) const NAMES: [&str; 7] = [
    "INV-1", "INV-2", "INV-3", "INV-4", "INV-5", "INV-6", "INV-7",
];

pub(crate) enum Verdict {
    Holds,
    InFlight(String),
}

pub(crate) fn judge(report: &str, code: i32) -> Result<Verdict> {
    if code == 2 {
        return Ok(Verdict::InFlight(format!(
            "verify could not check: {report}"
        )));
    }
    let report: Value = serde_json::from_str(report).context(report.to_owned())?;
    let mut in_flight = Vec::new();
    for name in NAMES {
        let invariant = report["invariants"]
            .get(name)
            .with_context(|| format!("{name}: unchecked"))?;
        if invariant["ok"] != Value::Bool(true) {
            bail!("{name} is breached: {invariant:#}");
        }
        if invariant["in_flight"].as_u64().unwrap_or(0) > 0 {
            in_flight.push(format!("{name}: {}", invariant["in_flight"]));
        }
    }
    if code != 0 {
        bail!("verify exited with {code} and no breach: {report:#}");
    }
    if in_flight.is_empty() {
        Ok(Verdict::Holds)
    } else {
        Ok(Verdict::InFlight(in_flight.join(", ")))
    }
}
