//! From Elasticsearch's answers to ours: pure.

use crate::order_view::shown_time;
use chrono::{DateTime, Utc};
use domain::{Leg, LegKind, OrderId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use store::OrderRow;
use utoipa::ToSchema;

/// Sums are computed in floating point over there; beyond this they may be off by some units.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// An order as the index has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundOrder {
    /// Names it.
    pub(super) id: String,
    /// `processing`, `paid` or `cancelled`; more may come.
    pub(super) status: String,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Who asked.
    pub(super) merchant: String,
    /// The account that pays.
    #[schema(value_type = Option<String>)]
    pub(super) payer: Option<Value>,
    /// The account that is paid.
    #[schema(value_type = Option<String>)]
    pub(super) payee: Option<Value>,
    /// Minor units asked for.
    pub(super) amount: i64,
    /// ISO 4217.
    pub(super) currency: String,
    /// Minor units that moved.
    pub(super) captured: i64,
    /// Minor units that moved back.
    pub(super) refunded: i64,
    /// Your own name for it.
    pub(super) reference: Option<String>,
    /// For people.
    pub(super) description: Option<String>,
    /// Grows whenever something of the order changes.
    pub(super) version: u64,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub(super) created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub(super) updated_at: String,
}

impl FoundOrder {
    /// Which order it is; none where the index says nonsense.
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        self.id.parse().ok()
    }

    /// An order as its row is.
    pub(crate) fn of_row(row: &OrderRow) -> Self {
        let (status, reason) = row.outcome();
        Self {
            id: row.id.to_string(),
            status: status.as_str().to_owned(),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            merchant: row.merchant.clone(),
            payer: accounts(&row.legs, LegKind::Debit),
            payee: accounts(&row.legs, LegKind::Credit),
            amount: row.amount,
            currency: row.currency.to_string(),
            captured: row.captured,
            refunded: row.refunded,
            reference: row.reference.clone(),
            description: row.description.clone(),
            version: row.version,
            created_at: shown_time(row.accepted_at),
            updated_at: shown_time(row.updated_at.max(row.accepted_at)),
        }
    }
}

/// One account, or several, each once, as the index has them.
fn accounts(legs: &[Leg], kind: LegKind) -> Option<Value> {
    let of_kind = legs.iter().filter(|leg| leg.kind == kind);
    let mut accounts: Vec<Value> = Vec::new();
    for account in of_kind.map(|leg| leg.account.to_string().into()) {
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    match accounts.len() {
        0 | 1 => accounts.pop(),
        _ => Some(accounts.into()),
    }
}

/// How many orders, and what they sum up to.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Sums {
    /// Orders.
    count: u64,
    /// Minor units asked for.
    amount: i64,
    /// Whether `amount` is so large that it may be off by some units.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
}

/// Sums by currency.
type ByCurrency = BTreeMap<String, Sums>;

/// One line of a summary.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Bucket {
    /// The account, merchant, status or UTC day.
    key: String,
    /// Orders.
    count: u64,
    /// Minor units asked for, by currency.
    amount: BTreeMap<String, i64>,
    /// Whether an amount is so large that it may be off by some units.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
}

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// At most as many as asked for.
    pub(crate) orders: Vec<FoundOrder>,
    /// The sort values of each.
    pub(crate) places: Vec<Vec<Value>>,
    /// Over the whole filter, by status and currency; empty where they were not asked for.
    pub(crate) totals: BTreeMap<String, ByCurrency>,
    /// Its name may change from page to page.
    pub(crate) point_in_time: String,
}

#[derive(Deserialize)]
struct Answer {
    pit_id: Option<String>,
    #[serde(default)]
    timed_out: bool,
    hits: Hits,
    #[serde(default)]
    aggregations: BTreeMap<String, Aggregation>,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_source")]
    source: Document,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct Document {
    order_id: String,
    merchant: String,
    status: String,
    reason: Option<String>,
    payer: Option<Value>,
    payee: Option<Value>,
    amount: i64,
    captured: i64,
    refunded: i64,
    currency: String,
    reference: Option<String>,
    description: Option<String>,
    version: u64,
    accepted_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Aggregation {
    buckets: Vec<RawBucket>,
}

#[derive(Deserialize)]
struct RawBucket {
    key: Value,
    key_as_string: Option<String>,
    doc_count: u64,
    by_currency: Option<Aggregation>,
    amount: Option<Number>,
}

#[derive(Deserialize)]
struct Number {
    value: f64,
}

/// Reads the answer to [`super::orders_query`].
pub(crate) fn read_page(answer: Value) -> Result<Page, String> {
    let answer = read(answer)?;
    let mut page = Page {
        orders: Vec::with_capacity(answer.hits.hits.len()),
        places: Vec::with_capacity(answer.hits.hits.len()),
        totals: BTreeMap::new(),
        point_in_time: answer.pit_id.ok_or("no point in time")?,
    };
    for hit in answer.hits.hits {
        page.orders.push(FoundOrder::from(hit.source));
        page.places.push(hit.sort);
    }
    let statuses = answer.aggregations.into_values().flat_map(|a| a.buckets);
    page.totals = statuses
        .map(|bucket| (bucket.key(), by_currency(bucket.by_currency)))
        .collect();
    Ok(page)
}

/// Reads the answer to [`super::summary_query`].
pub(crate) fn read_summary(answer: Value, limit: usize) -> Result<Vec<Bucket>, String> {
    let answer = read(answer)?;
    let buckets = answer.aggregations.into_values().flat_map(|a| a.buckets);
    Ok(buckets.take(limit).map(Bucket::from).collect())
}

fn read(answer: Value) -> Result<Answer, String> {
    let answer: Answer = serde_json::from_value(answer).map_err(|error| error.to_string())?;
    if answer.timed_out {
        return Err("it was not complete in time".into());
    }
    Ok(answer)
}

fn by_currency(aggregation: Option<Aggregation>) -> ByCurrency {
    let buckets = aggregation.into_iter().flat_map(|a| a.buckets);
    let sums = buckets.map(|bucket| {
        let value = bucket.amount.as_ref().map_or(0.0, |amount| amount.value);
        let sums = Sums {
            count: bucket.doc_count,
            amount: value.round() as i64,
            approximate: value.abs() >= EXACT_MAX,
        };
        (bucket.key(), sums)
    });
    sums.collect()
}

impl RawBucket {
    fn key(&self) -> String {
        match (&self.key_as_string, &self.key) {
            (Some(text), _) | (None, Value::String(text)) => text.clone(),
            (None, other) => other.to_string(),
        }
    }
}

impl From<RawBucket> for Bucket {
    fn from(raw: RawBucket) -> Self {
        let (key, count) = (raw.key(), raw.doc_count);
        let sums = by_currency(raw.by_currency);
        Self {
            key,
            count,
            approximate: sums.values().any(|sums| sums.approximate),
            amount: sums.into_iter().map(|(c, sums)| (c, sums.amount)).collect(),
        }
    }
}

impl From<Document> for FoundOrder {
    fn from(document: Document) -> Self {
        Self {
            id: document.order_id,
            status: document.status,
            reason: document.reason,
            merchant: document.merchant,
            payer: document.payer,
            payee: document.payee,
            amount: document.amount,
            currency: document.currency,
            captured: document.captured,
            refunded: document.refunded,
            reference: document.reference,
            description: document.description,
            version: document.version,
            created_at: shown_time(document.accepted_at),
            updated_at: shown_time(document.updated_at.max(document.accepted_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sums_are_integers_and_say_when_they_may_be_off() {
        let answer = json!({
            "hits": { "hits": [] },
            "aggregations": { "keys": { "buckets": [
                { "key": 1_769_817_600_000_i64, "key_as_string": "2026-01-31", "doc_count": 2,
                  "by_currency": { "buckets": [
                    { "key": "USD", "doc_count": 1, "amount": { "value": 2933.0 } },
                    { "key": "EUR", "doc_count": 1, "amount": { "value": 1e16 } } ] } },
            ] } },
        });
        let buckets = read_summary(answer, 10).unwrap();
        let shown = serde_json::to_value(&buckets).unwrap();
        assert_eq!(
            shown,
            json!([{ "key": "2026-01-31", "count": 2, "approximate": true,
                "amount": { "EUR": 10_000_000_000_000_000_i64, "USD": 2933 } }])
        );
    }

    #[test]
    fn an_incomplete_answer_is_no_answer() {
        let answer = json!({ "timed_out": true, "hits": { "hits": [] }, "aggregations": {} });
        assert!(read_summary(answer, 10).is_err());
    }
}
