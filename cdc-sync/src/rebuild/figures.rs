//! What two indices are compared by: for each status, day and currency how many orders there are, and
//! what their amounts and versions come to.

use crate::search_client::{SearchClient, SearchError};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Buckets in one answer.
const PAGE: usize = 1_000;
/// Differences that are told one by one.
const TOLD_MAX: usize = 20;

/// A status, a day (UTC) and a currency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    day: String,
    status: String,
    currency: String,
}

/// What the orders of a bucket come to; amounts in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    orders: u64,
    amount: i64,
    captured: i64,
    refunded: i64,
    version: i64,
}

/// The figures of an index, as of its last refresh.
pub type Figures = BTreeMap<Bucket, Sums>;

/// Reads the figures of what this alias names.
pub async fn read(client: &SearchClient, alias: &str) -> Result<Figures, SearchError> {
    let mut figures = Figures::new();
    let mut after = Value::Null;
    loop {
        let mut composite = json!({ "size": PAGE, "sources": [
            { "day": { "date_histogram": {
                "field": "created_at", "calendar_interval": "day", "format": "yyyy-MM-dd" } } },
            { "status": { "terms": { "field": "status" } } },
            { "currency": { "terms": { "field": "currency" } } },
        ]});
        if !after.is_null() {
            composite["after"] = after;
        }
        let sum = |field: &str| json!({ "sum": { "field": field } });
        let body = json!({ "size": 0, "aggs": { "buckets": { "composite": composite, "aggs": {
            "amount": sum("amount"), "captured": sum("captured"), "refunded": sum("refunded"),
            "version": sum("version"),
        }}}});
        let path =
            format!("/{alias}/_search?request_cache=false&allow_partial_search_results=false");
        let mut answer = client.json(Method::POST, &path, Some(&body)).await?;
        let buckets = answer["aggregations"]["buckets"]["buckets"].take();
        for bucket in buckets.as_array().into_iter().flatten() {
            let (key, sums) = read_bucket(bucket).ok_or_else(|| {
                SearchError::Definite(format!("a bucket cannot be read: {bucket}"))
            })?;
            figures.insert(key, sums);
        }
        after = answer["aggregations"]["buckets"]["after_key"].take();
        if after.is_null() {
            return Ok(figures);
        }
    }
}

fn read_bucket(bucket: &Value) -> Option<(Bucket, Sums)> {
    let text = |name: &str| bucket["key"][name].as_str().map(str::to_owned);
    // Elasticsearch sums in double precision, which is exact up to 2^53.
    let sum = |name: &str| bucket[name]["value"].as_f64().map(|sum| sum as i64);
    let key = Bucket {
        day: text("day")?,
        status: text("status")?,
        currency: text("currency")?,
    };
    let sums = Sums {
        orders: bucket["doc_count"].as_u64()?,
        amount: sum("amount")?,
        captured: sum("captured")?,
        refunded: sum("refunded")?,
        version: sum("version")?,
    };
    Some((key, sums))
}

/// A line for each bucket that is not the same in both, the first ones only; none where all are.
pub fn differences(old: &Figures, new: &Figures) -> Vec<String> {
    let mut buckets: Vec<&Bucket> = old.keys().chain(new.keys()).collect();
    buckets.sort();
    buckets.dedup();
    let of = |figures: &Figures, bucket| figures.get(bucket).copied().unwrap_or_default();
    let differ = buckets
        .into_iter()
        .map(|bucket| (bucket, of(old, bucket), of(new, bucket)))
        .filter(|(_, old, new)| old != new);
    let mut lines: Vec<String> = differ
        .map(|(bucket, old, new)| format!("{bucket}: {old} in the old index, {new} in the new one"))
        .collect();
    let more = lines.len().saturating_sub(TOLD_MAX);
    lines.truncate(TOLD_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            day,
            status,
            currency,
        } = self;
        write!(f, "{status} on {day} in {currency}")
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            orders,
            amount,
            captured,
            refunded,
            version,
        } = self;
        write!(
            f,
            "{orders} orders (amount {amount}, captured {captured}, refunded {refunded}, versions {version})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(buckets: &[(&str, u64, i64)]) -> Figures {
        let buckets = buckets.iter().map(|&(status, orders, amount)| {
            let bucket = Bucket {
                day: "2026-11-21".into(),
                status: status.into(),
                currency: "USD".into(),
            };
            let sums = Sums {
                orders,
                amount,
                ..Sums::default()
            };
            (bucket, sums)
        });
        buckets.collect()
    }

    #[test]
    fn what_is_the_same_in_both_is_no_difference() {
        let one = figures(&[("paid", 2, 30), ("cancelled", 1, 5)]);
        assert!(differences(&one, &one.clone()).is_empty());
        assert!(differences(&Figures::new(), &Figures::new()).is_empty());
    }

    #[test]
    fn a_bucket_that_only_one_has_or_that_sums_differently_is_one() {
        let old = figures(&[("paid", 2, 30), ("cancelled", 1, 5)]);
        for new in [
            figures(&[("paid", 2, 31), ("cancelled", 1, 5)]),
            figures(&[("paid", 3, 30), ("cancelled", 1, 5)]),
            figures(&[("paid", 2, 30)]),
            figures(&[("paid", 2, 30), ("cancelled", 1, 5), ("processing", 1, 0)]),
        ] {
            let lines = differences(&old, &new);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert_eq!(differences(&new, &old).len(), 1);
        }
    }

    #[test]
    fn many_differences_are_told_in_part_and_counted() {
        let names: Vec<String> = (0..25).map(|number| format!("s{number:02}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 1)).collect();
        let lines = differences(&figures(&many), &Figures::new());
        assert_eq!(lines.len(), TOLD_MAX + 1);
        assert_eq!(lines[TOLD_MAX], "and 5 more");
    }

    #[test]
    fn a_bucket_is_read_as_elasticsearch_writes_it() {
        let bucket = json!({
            "key": { "day": "2026-11-21", "status": "paid", "currency": "USD" }, "doc_count": 3,
            "amount": { "value": 8799.0 }, "captured": { "value": 8799.0 },
            "refunded": { "value": 0.0 }, "version": { "value": 6.0 },
        });
        let (bucket, sums) = read_bucket(&bucket).unwrap();
        assert_eq!(bucket.to_string(), "paid on 2026-11-21 in USD");
        assert_eq!((sums.orders, sums.amount, sums.version), (3, 8799, 6));
    }
}
