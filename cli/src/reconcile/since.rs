//! `--since`: a time, or how long ago. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// From when on orders are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// From this time on.
    Time(DateTime<Utc>),
    /// From so long ago on.
    Ago(TimeDelta),
}

impl Since {
    /// The time, when it is now.
    pub fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let time = match self {
            Self::Time(time) => time,
            Self::Ago(span) => now.checked_sub_signed(span).unwrap_or_default(),
        };
        time.max(DateTime::UNIX_EPOCH)
    }
}

/// Reads an RFC 3339 time, or a span such as `24h` or `7d`.
pub fn parse(text: &str) -> Result<Since, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Since::Time(time.to_utc()));
    }
    let span = crate::token::parse_duration(text).ok();
    let span = span.and_then(|span| TimeDelta::from_std(span).ok());
    span.map(Since::Ago).ok_or_else(|| {
        format!(
            "{text:?} is neither a time such as 2026-11-21T09:00:00Z nor a span such as 24h or 7d"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_span_before_now() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let from = |text| parse(text).unwrap().from(now);
        assert_eq!(from("24h"), now - TimeDelta::days(1));
        let time = from("2026-11-21T10:00:00+01:00");
        assert_eq!(time.to_rfc3339(), "2026-11-21T09:00:00+00:00");
        // The stores know no time before this one.
        assert_eq!(from("90000d"), DateTime::UNIX_EPOCH);
        assert_eq!(from("1066-10-14T09:00:00Z"), DateTime::UNIX_EPOCH);
    }

    #[test]
    fn what_is_neither_is_refused_in_words() {
        for bad in [
            "",
            "yesterday",
            "24",
            "-1h",
            "2026-11-21",
            "99999999999999999d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
