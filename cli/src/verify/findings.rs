//! What the checks found, invariant by invariant, as text and as JSON.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The rules that are checked on live stores, by the names that tests and documents use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Invariant {
    /// Money.
    #[serde(rename = "INV-1")]
    Money,
    /// One outcome.
    #[serde(rename = "INV-2")]
    OneOutcome,
    /// Limits.
    #[serde(rename = "INV-3")]
    Limits,
    /// Idempotence.
    #[serde(rename = "INV-4")]
    Idempotence,
    /// No orphan.
    #[serde(rename = "INV-5")]
    NoOrphan,
    /// Agreement.
    #[serde(rename = "INV-6")]
    Agreement,
    /// Accepted is kept.
    #[serde(rename = "INV-7")]
    AcceptedIsKept,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Money,
        Self::OneOutcome,
        Self::Limits,
        Self::Idempotence,
        Self::NoOrphan,
        Self::Agreement,
        Self::AcceptedIsKept,
    ];

    /// The one of this name, such as `INV-1`.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|invariant| invariant.name_and_promise().0 == name)
    }

    const fn name_and_promise(self) -> (&'static str, &'static str) {
        match self {
            Self::Money => ("INV-1", "money: balances are the sums of their entries"),
            Self::OneOutcome => ("INV-2", "one outcome: each order ends one way"),
            Self::Limits => ("INV-3", "limits: nobody spends what he has not"),
            Self::Idempotence => ("INV-4", "idempotence: nothing was done twice"),
            Self::NoOrphan => ("INV-5", "no orphan: no hold outlives its order"),
            Self::Agreement => ("INV-6", "agreement: orders, ledger and search say the same"),
            Self::AcceptedIsKept => ("INV-7", "accepted is kept: no order was lost"),
        }
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// What is wrong, in a sentence.
    pub what: String,
    /// The rows that show it.
    pub rows: Vec<String>,
}

/// What was found of one invariant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it was checked and holds.
    pub ok: bool,
    /// Each thing that is wrong.
    pub breaches: Vec<Breach>,
    /// What is still on its way and not wrong.
    pub in_flight: u64,
    /// Why it could not be checked, or not wholly.
    pub unchecked: Vec<String>,
}

/// What was found of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether all were checked and hold.
    pub ok: bool,
    /// By invariant.
    pub invariants: BTreeMap<Invariant, Finding>,
}

/// What it all means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant was checked and holds.
    Ok,
    /// At least one does not hold.
    Breach,
    /// None is known not to hold, and at least one could not be checked.
    Unchecked,
}

impl Verdict {
    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Breach => "breach",
            Self::Unchecked => "unchecked",
        }
    }

    /// The exit code that other people's tools expect.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Breach => 1,
            Self::Unchecked => 2,
        }
    }
}

impl Findings {
    /// What these checks found together.
    pub fn of(parts: impl IntoIterator<Item = (Invariant, Finding)>) -> Self {
        let mut invariants: BTreeMap<_, Finding> = Invariant::ALL
            .into_iter()
            .map(|invariant| (invariant, Finding::default()))
            .collect();
        for (invariant, part) in parts {
            let finding = invariants.entry(invariant).or_default();
            finding.breaches.extend(part.breaches);
            finding.in_flight += part.in_flight;
            finding.unchecked.extend(part.unchecked);
        }
        for finding in invariants.values_mut() {
            finding.ok = finding.breaches.is_empty() && finding.unchecked.is_empty();
        }
        let ok = invariants.values().all(|finding| finding.ok);
        Self { ok, invariants }
    }

    /// What it all means.
    pub fn verdict(&self) -> Verdict {
        let findings = || self.invariants.values();
        if findings().any(|finding| !finding.breaches.is_empty()) {
            Verdict::Breach
        } else if findings().any(|finding| !finding.unchecked.is_empty()) {
            Verdict::Unchecked
        } else {
            Verdict::Ok
        }
    }
}

impl Finding {
    /// It could not be checked, for this reason.
    pub fn unchecked(why: impl fmt::Display) -> Self {
        Self {
            unchecked: vec![why.to_string()],
            ..Self::default()
        }
    }

    fn state(&self) -> String {
        let mut parts = Vec::new();
        match self.breaches.len() {
            0 => {}
            1 => parts.push("1 BREACH".to_owned()),
            n => parts.push(format!("{n} BREACHES")),
        }
        if !self.unchecked.is_empty() {
            parts.push("NOT CHECKED".to_owned());
        }
        if parts.is_empty() {
            parts.push("ok".to_owned());
        }
        if self.in_flight > 0 {
            parts.push(format!("{} in flight", self.in_flight));
        }
        parts.join(", ")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (invariant, finding) in &self.invariants {
            let (name, promise) = invariant.name_and_promise();
            writeln!(f, "{name}  {promise:<52}  {}", finding.state())?;
        }
        for (invariant, finding) in &self.invariants {
            let (name, _) = invariant.name_and_promise();
            for why in &finding.unchecked {
                writeln!(f, "{name} was not checked: {why}")?;
            }
            for breach in &finding.breaches {
                writeln!(f, "{name} breach: {}", breach.what)?;
                for row in &breach.rows {
                    writeln!(f, "    {row}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach() -> Finding {
        Finding {
            breaches: vec![Breach {
                what: "a balance is wrong".into(),
                rows: vec!["accounts-0 acct_1".into()],
            }],
            in_flight: 2,
            ..Finding::default()
        }
    }

    #[test]
    fn a_breach_weighs_more_than_a_check_that_could_not_be_done() {
        let down = Finding::unchecked("kafka is down");
        assert_eq!(Findings::of([]).verdict(), Verdict::Ok);
        let findings = Findings::of([(Invariant::AcceptedIsKept, down.clone())]);
        assert_eq!(findings.verdict(), Verdict::Unchecked);
        let both = [
            (Invariant::AcceptedIsKept, down),
            (Invariant::Money, breach()),
        ];
        assert_eq!(Findings::of(both).verdict(), Verdict::Breach);
    }

    #[test]
    fn the_json_has_each_invariant_by_name() {
        let json = serde_json::to_value(Findings::of([(Invariant::Money, breach())])).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["invariants"]["INV-1"]["ok"], false);
        assert_eq!(json["invariants"]["INV-1"]["in_flight"], 2);
        assert_eq!(json["invariants"]["INV-7"]["ok"], true);
        assert_eq!(json["invariants"].as_object().unwrap().len(), 7);
    }

    #[test]
    fn the_text_tells_what_is_in_flight_from_what_is_wrong() {
        let text = Findings::of([(Invariant::Money, breach())]).to_string();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("INV-1") && first.ends_with("1 BREACH, 2 in flight"),
            "{text}"
        );
        assert!(text.contains("    accounts-0 acct_1"), "{text}");
    }
}
