//! What a search asks for, read from the query string. An unknown or repeated parameter is
//! refused: a misspelt filter must not pass for no filter.

use super::sort::{SORTS, Sort};
use crate::problem::Problem;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use domain::{
    AMOUNT_MAX, AccountId, Currency, DESCRIPTION_CHARS_MAX, OrderStatus, REFERENCE_CHARS_MAX,
    Reason, check_scope_name, check_text,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Orders that fit all of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filters {
    /// Any of these; empty is any at all.
    pub(crate) status: Vec<OrderStatus>,
    pub(crate) reason: Vec<Reason>,
    pub(crate) currency: Vec<Currency>,
    #[serde(default)]
    pub(crate) merchant: Vec<String>,
    pub(crate) payer: Option<AccountId>,
    pub(crate) payee: Option<AccountId>,
    pub(crate) reference: Option<String>,
    /// Minor units, both ends included.
    pub(crate) amount_min: Option<i64>,
    pub(crate) amount_max: Option<i64>,
    /// When it was accepted: from this instant, before that one.
    pub(crate) created_from: Option<DateTime<Utc>>,
    pub(crate) created_to: Option<DateTime<Utc>>,
    /// Words of the description, all of them.
    pub(crate) q: Option<String>,
}

/// The parameters of a query string that nobody has read yet.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Each name may stand once.
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.contains_key(&name) {
                return Err(Problem::parameter(&name, "must stand once"));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    /// The value under this name, read by `read`.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let value = self.0.remove(name);
        let value = value.map(|text| read(&text)).transpose();
        value.map_err(|detail| Problem::parameter(name, detail))
    }

    /// A number from 1 to `max`.
    pub(crate) fn take_limit(&mut self, default: u32, max: u32) -> Result<u32, Problem> {
        let limit = self.take("limit", |text| {
            let number = text.parse().ok().filter(|limit| (1..=max).contains(limit));
            number.ok_or_else(|| format!("must be a number from 1 to {max}"))
        })?;
        Ok(limit.unwrap_or(default))
    }

    /// An instant: RFC 3339, or a date, which begins at midnight UTC.
    pub(crate) fn take_instant(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        self.take(name, instant)
    }

    /// The sort, unless it is the default one.
    pub(crate) fn take_sort(&mut self) -> Result<Option<Sort>, Problem> {
        let read = |text: &str| Sort::parse(text).ok_or_else(|| format!("must be {SORTS}"));
        self.take("sort", read)
    }

    /// The filters.
    pub(crate) fn take_filters(&mut self) -> Result<Filters, Problem> {
        let filters = Filters {
            status: self.take("status", words)?.unwrap_or_default(),
            reason: self.take("reason", words)?.unwrap_or_default(),
            currency: self.take("currency", words)?.unwrap_or_default(),
            merchant: self.take("merchant", merchants)?.unwrap_or_default(),
            payer: self.take("payer", parse)?,
            payee: self.take("payee", parse)?,
            reference: self.take("reference", |text| read_text(text, REFERENCE_CHARS_MAX))?,
            amount_min: self.take("amount_min", minor_units)?,
            amount_max: self.take("amount_max", minor_units)?,
            created_from: self.take_instant("created_from")?,
            created_to: self.take_instant("created_to")?,
            q: self.take("q", |text| read_text(text, DESCRIPTION_CHARS_MAX))?,
        };
        if filters
            .amount_min
            .zip(filters.amount_max)
            .is_some_and(|(min, max)| min > max)
        {
            return Err(Problem::parameter(
                "amount_max",
                "must not be below amount_min",
            ));
        }
        Ok(filters)
    }

    /// Refuses what nobody has read.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            Some(name) => Err(Problem::parameter(
                &name,
                "is not a parameter of this request",
            )),
            None => Ok(()),
        }
    }
}

/// One or several, separated by commas.
fn words<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    let word = |word: &str| {
        let value = serde_json::Value::from(word.trim());
        serde_json::from_value(value).map_err(|error| error.to_string())
    };
    text.split(',').map(word).collect()
}

/// One or several merchants, separated by commas.
fn merchants(text: &str) -> Result<Vec<String>, String> {
    let merchant = |name: &str| {
        let name = name.trim();
        check_scope_name(name).map_err(|error| error.to_string())?;
        Ok(name.to_owned())
    };
    text.split(',').map(merchant).collect()
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn read_text(text: &str, chars_max: usize) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("must not be empty".into());
    }
    check_text(text, chars_max).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn minor_units(text: &str) -> Result<i64, String> {
    let number = text.parse().ok();
    let number = number.filter(|units| (0..=AMOUNT_MAX).contains(units));
    number.ok_or_else(|| format!("must be an integer of minor units from 0 to {AMOUNT_MAX}"))
}

/// RFC 3339, or a date, which begins at midnight UTC.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| "must be a date (2026-01-31) or an RFC 3339 time with its offset".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Filters, Problem> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut parameters = Parameters::new(pairs.collect())?;
        let filters = parameters.take_filters()?;
        parameters.finish()?;
        Ok(filters)
    }

    #[test]
    fn filters_are_read() {
        let filters = read(&[
            ("status", "paid,cancelled"),
            ("reason", "insufficient_funds"),
            ("created_from", "2026-01-31"),
            ("created_to", "2026-02-01T01:00:00+01:00"),
            ("amount_min", "1"),
            ("merchant", "shop, rival"),
        ])
        .unwrap();
        assert_eq!(filters.merchant, ["shop", "rival"]);
        assert_eq!(filters.status, [OrderStatus::Paid, OrderStatus::Cancelled]);
        assert_eq!(filters.reason, [Reason::InsufficientFunds]);
        let day = filters.created_to.unwrap() - filters.created_from.unwrap();
        assert_eq!(day, chrono::TimeDelta::days(1));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (name, value) in [
            ("status", "payed"),
            ("status", ""),
            ("reason", "because"),
            ("currency", "usd"),
            ("merchant", "shop,"),
            ("payer", "ord_1"),
            ("amount_min", "1.5"),
            ("amount_max", "-1"),
            ("created_from", "yesterday"),
            ("created_to", "2026-02-01T01:00:00"),
            ("q", " "),
            ("statuses", "paid"),
        ] {
            let body = read(&[(name, value)]).unwrap_err().body("");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["errors"][0]["pointer"], name, "{body}");
        }
        assert!(read(&[("q", "a"), ("q", "b")]).is_err());
        assert!(read(&[("amount_min", "2"), ("amount_max", "1")]).is_err());
    }

    #[test]
    fn any_parameters_are_filters_or_name_the_parameter() {
        let good = [
            "status=paid,cancelled",
            "reason=expired",
            "amount_min=1",
            "amount_max=900",
            "created_from=2026-01-31",
            "created_to=2026-02-01T01:00:00+01:00",
            "payer=acct_00000000000000000000000000000001",
            "q=two words",
            "currency=USD",
        ];
        let good = good.map(|pair| pair.as_bytes().to_vec());
        domain::mangled::each_mangled(&good, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            let _ = read(&[(name, value), ("limit", "1")]);
        });
    }
}
