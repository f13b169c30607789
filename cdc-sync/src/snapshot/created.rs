//! A stretch of time in which orders were made: `from..to`, without `to`. Pure.

use chrono::{DateTime, NaiveDate, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// From this time on and before that one; at least one of them is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

/// A text that names no such time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreatedError {
    /// It is no range.
    #[error("{0:?} is not FROM..TO, FROM.. or ..TO, such as 2026-11-01..2026-11-02")]
    Form(String),
    /// One end cannot be read.
    #[error("{0:?} is neither a date such as 2026-11-01 nor a time such as 2026-11-01T09:00:00Z")]
    Time(String),
    /// The stores know no finer time.
    #[error("{0:?} is finer than a microsecond")]
    TooFine(String),
    /// It holds no instant.
    #[error("{0:?} holds no time: its end is not after its beginning")]
    Empty(String),
}

impl Created {
    /// Both ends as MySQL writes times. What is open is as early or late as MySQL knows.
    pub fn bounds(&self) -> (String, String) {
        let text = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
        // The stores know no order that is older.
        let from = self
            .from
            .unwrap_or_default()
            .max(DateTime::<Utc>::UNIX_EPOCH);
        let to = self.to.map(|to| text(to.max(DateTime::<Utc>::UNIX_EPOCH)));
        let latest = "9999-12-31 23:59:59.999999".to_owned();
        (text(from), to.unwrap_or(latest))
    }
}

impl FromStr for Created {
    type Err = CreatedError;

    fn from_str(text: &str) -> Result<Self, CreatedError> {
        let form = || CreatedError::Form(text.to_owned());
        let (from, to) = text.split_once("..").ok_or_else(form)?;
        let created = Self {
            from: optional_time(from)?,
            to: optional_time(to)?,
        };
        match (created.from, created.to) {
            (None, None) => Err(form()),
            (Some(from), Some(to)) if from >= to => Err(CreatedError::Empty(text.to_owned())),
            (Some(_) | None, Some(_) | None) => Ok(created),
        }
    }
}

fn optional_time(text: &str) -> Result<Option<DateTime<Utc>>, CreatedError> {
    match text.trim() {
        "" => Ok(None),
        text => time(text).map(Some),
    }
}

/// A date is its first instant, UTC.
fn time(text: &str) -> Result<DateTime<Utc>, CreatedError> {
    let date = |text: &str| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc())
    };
    let time = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(time.to_utc()),
        Err(_) => date(text).filter(|_| text.len() == "2026-11-01".len()),
    };
    let time = time.ok_or_else(|| CreatedError::Time(text.to_owned()))?;
    match time.nanosecond() % 1_000 {
        0 => Ok(time),
        _ => Err(CreatedError::TooFine(text.to_owned())),
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |time: &Option<DateTime<Utc>>| {
            time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
                .unwrap_or_default()
        };
        write!(f, "{}..{}", text(&self.from), text(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(text: &str) -> (String, String) {
        text.parse::<Created>().unwrap().bounds()
    }

    #[test]
    fn a_range_has_dates_or_times_and_may_be_open_on_one_side() {
        let (from, to) = bounds("2026-11-01..2026-11-02");
        assert_eq!(from, "2026-11-01 00:00:00.000000");
        assert_eq!(to, "2026-11-02 00:00:00.000000");
        let (from, to) = bounds("2026-11-01T10:00:00.000042+01:00..");
        assert_eq!(from, "2026-11-01 09:00:00.000042");
        assert!(to.starts_with("9999"), "{to}");
        let (from, to) = bounds("..2026-11-02");
        assert_eq!(from, "1970-01-01 00:00:00.000000");
        assert_eq!(to, "2026-11-02 00:00:00.000000");
        // MySQL knows no year 0.
        assert_eq!(bounds("0000-01-01..0001-01-01").0, bounds("..1971-01-01").0);
    }

    #[test]
    fn what_is_no_range_is_refused_in_words() {
        for (bad, says) in [
            ("", "not FROM..TO"),
            ("..", "not FROM..TO"),
            ("2026-11-01", "not FROM..TO"),
            ("yesterday..", "\"yesterday\" is neither"),
            ("2026-11-31..", "neither"),
            ("2026-1-1..", "neither"),
            ("2026-11-01...2026-11-02", "neither"),
            ("2026-11-02..2026-11-02", "holds no time"),
            ("2026-11-02..2026-11-01", "holds no time"),
            ("..2026-11-01T00:00:00.0000001Z", "finer"),
        ] {
            let error = bad.parse::<Created>().unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn a_range_is_shown_as_it_may_be_given() {
        let created: Created = "2026-11-01..2026-11-02T09:00:00Z".parse().unwrap();
        assert_eq!(
            created.to_string(),
            "2026-11-01T00:00:00Z..2026-11-02T09:00:00Z"
        );
        assert_eq!(created.to_string().parse::<Created>().unwrap(), created);
    }
}
