//! What a reconciliation found, as text and as JSON. Pure.
//!
//! Only so many differences are kept in detail, however many there are; all are counted.

use super::difference::{Difference, Kind};
use super::moment::Moment;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How many differences are kept in detail.
const DETAILS_MAX: usize = 1_000;
/// A search that is so far behind does not agree with now.
const LATE: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Up to when search is complete; none without a search.
    #[serde(serialize_with = "time")]
    as_of: Option<DateTime<Utc>>,
    /// Orders made from then on; none means all.
    #[serde(serialize_with = "time")]
    since: Option<DateTime<Utc>>,
    /// How many orders there are.
    pub orders: u64,
    /// Ranges of ids.
    pub ranges: Ranges,
    /// Orders that have not ended, or changed too late for search: no differences.
    pub in_flight: u64,
    /// The first ones, in detail.
    differences: Vec<Difference>,
    /// All, by kind.
    kinds: BTreeMap<Kind, u64>,
    /// How many of them search says rightly now.
    pub repaired: u64,
    /// How long it took.
    pub seconds: f64,
    /// What limits the answer.
    notes: Vec<String>,
    /// How many repairs were refused, and why the first one was.
    #[serde(skip)]
    refusals: u64,
    #[serde(skip)]
    first_refusal: Option<String>,
    /// Whether search is so late that what it was not compared with deserves a word.
    #[serde(skip)]
    is_late: bool,
}

/// Ranges of ids, of any size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ranges {
    /// How many were compared.
    pub compared: u64,
    /// In how many the sums differed.
    pub differing: u64,
}

impl Findings {
    /// Nothing yet.
    pub fn new(moment: &Moment) -> Self {
        let mut notes = Vec::new();
        if let Some(behind) = moment.behind() {
            notes.push(format!(
                "Search is {} s behind: what changed since is not compared with it.",
                behind.as_secs()
            ));
        }
        if moment.as_of.is_none() {
            notes.push("Search is switched off: only orders and ledger are compared.".into());
        }
        Self {
            as_of: moment.as_of,
            since: Some(moment.since).filter(|since| *since > DateTime::UNIX_EPOCH),
            orders: 0,
            ranges: Ranges::default(),
            in_flight: 0,
            differences: Vec::new(),
            kinds: BTreeMap::new(),
            repaired: 0,
            seconds: 0.0,
            notes,
            refusals: 0,
            first_refusal: None,
            is_late: moment.behind().is_some_and(|behind| behind >= LATE),
        }
    }

    /// Takes a difference in.
    pub fn add(&mut self, difference: Difference) {
        let known =
            |one: &Difference| one.kind == difference.kind && one.order_id == difference.order_id;
        // A document may be found by its own id and by the one that it claims.
        if self.differences.iter().any(known) {
            return;
        }
        *self.kinds.entry(difference.kind).or_default() += 1;
        self.repaired += u64::from(difference.repaired);
        if self.differences.len() < DETAILS_MAX {
            self.differences.push(difference);
        }
    }

    /// Takes in what limits the answer.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Takes in that a repair was refused.
    pub fn refused(&mut self, cause: String) {
        self.refusals += 1;
        self.first_refusal.get_or_insert(cause);
    }

    /// It is over.
    pub fn finish(&mut self, took: Duration) {
        if let Some(cause) = self.first_refusal.take() {
            let more = match self.refusals {
                1 => String::new(),
                n => format!(" (the first of {n})"),
            };
            self.note(format!("Elasticsearch refused a repair{more}: {cause}"));
        }
        self.seconds = (took.as_secs_f64() * 1_000.0).round() / 1_000.0;
        self.differences
            .sort_by(|one, other| (one.kind, &one.order_id).cmp(&(other.kind, &other.order_id)));
    }

    /// How many differences there are of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    /// How many differences there are.
    pub fn count(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// 0 when all agree, 1 when not, also when all was repaired.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.count() > 0)
    }

    /// In a line.
    pub fn verdict(&self) -> String {
        let repaired = match self.repaired {
            0 => String::new(),
            n if n == self.count() => ", all repaired now".to_owned(),
            n => format!(", {n} repaired now"),
        };
        match self.count() {
            0 => match self.as_of {
                None => "ok: orders and ledger agree".to_owned(),
                Some(as_of) if self.is_late => {
                    let as_of = shown(as_of);
                    format!("ok: orders and ledger agree, and search does up to {as_of}")
                }
                Some(_) => "ok: orders, ledger and search agree".to_owned(),
            },
            1 => format!("1 DIFFERENCE{repaired}"),
            n => format!("{n} DIFFERENCES{repaired}"),
        }
    }

    /// All of it in a line, for a log.
    pub fn line(&self) -> String {
        let kinds = self.kinds.iter();
        let kinds: String = kinds
            .map(|(kind, count)| format!(", {count} {}", kind.name()))
            .collect();
        let (verdict, orders, seconds) = (self.verdict(), self.orders, self.seconds);
        format!("{verdict} ({orders} orders, {seconds:.1} s{kinds})")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ranges {
            compared,
            differing,
        } = self.ranges;
        writeln!(f, "{}\n", self.verdict())?;
        writeln!(f, "orders     {} in {:.1} s", self.orders, self.seconds)?;
        if let Some(since) = self.since {
            writeln!(f, "made since {}", shown(since))?;
        }
        if let Some(as_of) = self.as_of {
            writeln!(f, "as of      {}", shown(as_of))?;
        }
        writeln!(
            f,
            "ranges     {compared} compared, {differing} differed at first sight"
        )?;
        writeln!(f, "in flight  {}", self.in_flight)?;
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "{note}"))?;
        for (kind, count) in &self.kinds {
            writeln!(f, "{count:>9}  {}", kind.as_str())?;
        }
        for difference in &self.differences {
            write!(f, "\n{difference}")?;
        }
        let more = self.count() - self.differences.len() as u64;
        if more > 0 {
            writeln!(
                f,
                "\n{more} more differences are counted above, and not shown."
            )?;
        }
        Ok(())
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn time<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = time.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true));
    text.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::super::difference::Contradiction;
    use super::*;

    fn findings() -> Findings {
        Findings::new(&Moment {
            since: DateTime::UNIX_EPOCH,
            began: DateTime::UNIX_EPOCH,
            as_of: Some(DateTime::UNIX_EPOCH),
        })
    }

    fn difference(number: usize, repaired: bool) -> Difference {
        let contradiction = Contradiction {
            kind: Kind::OlderDocument,
            says: vec!["order: version 2".to_owned()],
        };
        Difference {
            repaired,
            ..Difference::of(format!("ord_{number}"), contradiction)
        }
    }

    #[test]
    fn nothing_found_is_ok_and_anything_is_not_even_when_it_was_repaired() {
        let mut findings = findings();
        assert_eq!(findings.exit_code(), 0);
        assert!(findings.to_string().starts_with("ok: "));
        findings.add(difference(1, true));
        assert_eq!(findings.exit_code(), 1);
        let screen = findings.to_string();
        assert!(
            screen.starts_with("1 DIFFERENCE, all repaired now"),
            "{screen}"
        );
        findings.add(difference(2, false));
        let screen = findings.to_string();
        assert!(
            screen.starts_with("2 DIFFERENCES, 1 repaired now"),
            "{screen}"
        );
    }

    #[test]
    fn however_many_differ_a_thousand_are_kept_and_all_are_counted() {
        let mut findings = findings();
        (0..DETAILS_MAX + 7).for_each(|number| findings.add(difference(number, false)));
        assert_eq!(findings.differences.len(), DETAILS_MAX);
        assert_eq!(findings.count(), DETAILS_MAX as u64 + 7);
        assert!(findings.to_string().contains("7 more differences"));
    }

    #[test]
    fn a_difference_is_told_with_both_sides_its_cause_and_what_to_do() {
        let screen = difference(7, false).to_string();
        for part in [
            "ord_7: the document",
            "order: version 2",
            "likely: ",
            "to do:  ",
        ] {
            assert!(screen.contains(part), "{screen}");
        }
        let mut explained = difference(7, true);
        explained.explain_by_dead_letter("too long");
        let screen = explained.to_string();
        assert!(screen.contains("(repaired)") && screen.contains("dead letter: too long"));
        assert!(!screen.contains("to do:"));
    }

    #[test]
    fn a_search_that_is_behind_is_said() {
        let began = DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(1);
        let findings = Findings::new(&Moment {
            since: DateTime::UNIX_EPOCH,
            began,
            as_of: Some(DateTime::UNIX_EPOCH),
        });
        assert!(findings.to_string().contains("60 s behind"));
    }
}
