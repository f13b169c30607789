//! From what is asked for to Elasticsearch's words: pure.

use super::{Cursor, Filters, SummaryBy};
use domain::OrderId;
use serde_json::{Value, json};

/// More currencies than there are.
const CURRENCIES_MAX: u32 = 300;
const STATUSES_MAX: u32 = 50;
/// Most days of a summary, before they are cut to its limit.
const SHARD_BUCKETS_EXTRA: u32 = 1000;

/// Whose orders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) tenant: &'a str,
    /// None is the whole tenant.
    pub(crate) merchant: Option<&'a str>,
}

/// A page of a search, from its place on, within its point in time.
pub(crate) fn orders_query(search: &Cursor, keep_alive_s: u64, size: u32) -> Value {
    let scope = Scope {
        tenant: &search.tenant,
        merchant: search.merchant.as_deref(),
    };
    let sort = search.sort;
    let mut query = json!({
        "pit": { "id": search.point_in_time, "keep_alive": format!("{keep_alive_s}s") },
        "size": size,
        "track_total_hits": false,
        "query": query(scope, &search.filters),
        "sort": [
            { sort.index_field(): sort.direction() },
            { "order_id": sort.direction() },
        ],
    });
    if !search.after.is_empty() {
        query["search_after"] = json!(search.after);
    }
    query
}

/// The same with the sums over the whole filter.
pub(crate) fn with_totals(mut query: Value) -> Value {
    query["aggs"] = json!({ "by_status": {
        "terms": { "field": "status", "size": STATUSES_MAX },
        "aggs": by_currency(),
    }});
    query
}

/// The same with this order alone, if it is among those that fit.
pub(crate) fn only(mut query: Value, order: OrderId) -> Value {
    if let Some(clauses) = query["query"]["bool"]["filter"].as_array_mut() {
        clauses.push(json!({ "term": { "order_id": order.to_string() } }));
    }
    query
}

/// Sums by key and currency.
pub(crate) fn summary_query(
    scope: Scope<'_>,
    filters: &Filters,
    by: SummaryBy,
    limit: u32,
) -> Value {
    let mut aggs = by_currency();
    let mut largest_first = |field: &str| {
        aggs["amount"] = json!({ "sum": { "field": "amount" } });
        json!({ "terms": {
            "field": field, "size": limit, "shard_size": limit + SHARD_BUCKETS_EXTRA,
            "order": [{ "amount": "desc" }, { "_key": "asc" }],
        }})
    };
    let keys = match by {
        SummaryBy::Payer => largest_first("payer"),
        SummaryBy::Merchant => largest_first("merchant"),
        SummaryBy::Status => json!({ "terms": { "field": "status", "size": limit } }),
        SummaryBy::Day => json!({ "date_histogram": {
            "field": "accepted_at", "calendar_interval": "day", "format": "yyyy-MM-dd",
            "min_doc_count": 1, "order": { "_key": "desc" },
        }}),
    };
    let mut keyed = keys;
    keyed["aggs"] = aggs;
    json!({
        "size": 0,
        "track_total_hits": false,
        "query": query(scope, filters),
        "aggs": { "keys": keyed },
    })
}

fn by_currency() -> Value {
    json!({ "by_currency": {
        "terms": { "field": "currency", "size": CURRENCIES_MAX },
        "aggs": { "amount": { "sum": { "field": "amount" } } },
    }})
}

fn query(scope: Scope<'_>, filters: &Filters) -> Value {
    let mut clauses = vec![json!({ "term": { "tenant": scope.tenant } })];
    let mut add = |clause: Option<Value>| clauses.extend(clause);
    add(scope
        .merchant
        .map(|merchant| json!({ "term": { "merchant": merchant } })));
    let terms = |field: &str, values: Vec<&str>| {
        (!values.is_empty()).then(|| json!({ "terms": { field: values } }))
    };
    add(terms(
        "status",
        filters.status.iter().map(|s| s.as_str()).collect(),
    ));
    add(terms(
        "reason",
        filters.reason.iter().map(|r| r.as_str()).collect(),
    ));
    add(terms(
        "currency",
        filters.currency.iter().map(|c| c.as_str()).collect(),
    ));
    add(terms(
        "merchant",
        filters.merchant.iter().map(String::as_str).collect(),
    ));
    add(filters
        .payer
        .map(|id| json!({ "term": { "payer": id.to_string() } })));
    add(filters
        .payee
        .map(|id| json!({ "term": { "payee": id.to_string() } })));
    add(filters
        .reference
        .as_ref()
        .map(|text| json!({ "term": { "reference": text } })));
    add(range(
        "amount",
        ("gte", filters.amount_min),
        ("lte", filters.amount_max),
    ));
    let time = |time: &chrono::DateTime<chrono::Utc>| {
        time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
    };
    let from = filters.created_from.as_ref().map(time);
    let to = filters.created_to.as_ref().map(time);
    add(range("accepted_at", ("gte", from), ("lt", to)));
    add(filters
        .q
        .as_ref()
        .map(|text| json!({ "match": { "description": { "query": text, "operator": "and" } } })));
    json!({ "bool": { "filter": clauses } })
}

fn range<T: Into<Value>>(
    field: &str,
    from: (&str, Option<T>),
    to: (&str, Option<T>),
) -> Option<Value> {
    let mut bounds = serde_json::Map::new();
    for (name, bound) in [from, to] {
        if let Some(bound) = bound {
            bounds.insert(name.to_owned(), bound.into());
        }
    }
    (!bounds.is_empty()).then(|| json!({ "range": { field: bounds } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_who_asks_for_another_finds_nothing() {
        let scope = Scope {
            tenant: "demo",
            merchant: Some("shop"),
        };
        let filters = Filters {
            merchant: vec!["rival".into()],
            ..Filters::default()
        };
        let clauses = query(scope, &filters)["bool"]["filter"].clone();
        let merchants = [
            json!({ "term": { "merchant": "shop" } }),
            json!({ "terms": { "merchant": ["rival"] } }),
        ];
        assert_eq!(clauses.as_array().unwrap()[1..], merchants);
    }

    #[test]
    fn only_one_order_is_still_confined() {
        let scope = Scope {
            tenant: "demo",
            merchant: Some("shop"),
        };
        let all = json!({ "query": query(scope, &Filters::default()) });
        let id = "ord_0f1e2d3c4b5a8978b6a5948372615040";
        let one = only(all, id.parse().unwrap());
        assert_eq!(
            one["query"]["bool"]["filter"],
            json!([
                { "term": { "tenant": "demo" } },
                { "term": { "merchant": "shop" } },
                { "term": { "order_id": id } },
            ])
        );
    }

    #[test]
    fn a_merchant_is_confined_to_his_own_whatever_he_asks() {
        let scope = Scope {
            tenant: "demo",
            merchant: Some("shop"),
        };
        let query = query(scope, &Filters::default());
        assert_eq!(
            query,
            json!({ "bool": { "filter": [
                { "term": { "tenant": "demo" } },
                { "term": { "merchant": "shop" } },
            ]}})
        );
    }
}
