//! How far a page of a long reading has to look: pure.
//!
//! Whoever reads a search to its end, page by page, would have Elasticsearch go through all that is left
//! for each page, as it does where the sort is not the order in which it stores. So a page is looked for
//! in a stretch of the sort's field that begins at the page's place and holds, to judge by the page
//! before, some times as many orders as a page. A full page is the next one; where one is not full, the
//! next is looked for in a wider stretch, and at last in all that is left.

use super::Cursor;
use super::sort::{Sort, SortField};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// Orders may lie this many times thinner than on the page before.
const MARGIN: i64 = 4;
/// How much wider the stretch is after one that held too little: eight steps lead from a second to the
/// end of time.
const WIDENING: i64 = 16;

/// A stretch of the sort's field: nanoseconds or minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    width: i64,
}

impl Window {
    /// The stretch to look in after a full page with these sort values.
    pub(crate) fn after_page(places: &[Vec<Value>]) -> Option<Self> {
        let value = |place: Option<&Vec<Value>>| place?.first()?.as_i64();
        let (first, last) = (value(places.first())?, value(places.last())?);
        let span = last.checked_sub(first)?.checked_abs()?;
        let width = span.checked_mul(MARGIN)?.max(1);
        Some(Self { width })
    }

    /// The stretch to look in after one that held less than a page; none is all that is left.
    pub(crate) fn wider(self) -> Option<Self> {
        let width = self.width.checked_mul(WIDENING)?;
        Some(Self { width })
    }

    /// The query of this search, within the stretch from its place on.
    pub(crate) fn confine(self, mut query: Value, search: &Cursor) -> Value {
        let begins = search.after.first().and_then(Value::as_i64);
        let clauses = query["query"]["bool"]["filter"].as_array_mut();
        if let Some((begins, clauses)) = begins.zip(clauses) {
            clauses.push(self.range(search.sort, begins));
        }
        query
    }

    fn range(self, sort: Sort, begins: i64) -> Value {
        let (least, most) = match sort.descending {
            // Neither an amount nor a time of the index is below zero: such a bound is refused.
            true => (begins.saturating_sub(self.width).max(0), begins),
            false => (begins, begins.saturating_add(self.width)),
        };
        let (least, most) = (bound(sort.field, least), bound(sort.field, most));
        json!({ "range": { sort.index_field(): { "gte": least, "lte": most } } })
    }
}

/// A sort value as a filter has it.
fn bound(field: SortField, value: i64) -> Value {
    match field {
        SortField::Amount => value.into(),
        SortField::CreatedAt | SortField::UpdatedAt => {
            let time = DateTime::from_timestamp_nanos(value);
            time.to_rfc3339_opts(SecondsFormat::Nanos, true).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Filters;

    fn places(values: &[i64]) -> Vec<Vec<Value>> {
        let place = |value: &i64| vec![json!(value), json!("ord_1")];
        values.iter().map(place).collect()
    }

    fn range(sort: &str, window: Window, after: i64) -> Value {
        let search = Cursor {
            tenant: "demo".into(),
            merchant: None,
            filters: Filters::default(),
            sort: Sort::parse(sort).unwrap(),
            strict: false,
            point_in_time: String::new(),
            after: vec![json!(after), json!("ord_1")],
            as_of: None,
        };
        let query = json!({ "query": { "bool": { "filter": [] } } });
        window.confine(query, &search)["query"]["bool"]["filter"][0]["range"].clone()
    }

    #[test]
    fn a_window_holds_some_times_a_page_from_its_place_on() {
        let window = Window::after_page(&places(&[10, 20, 35])).unwrap();
        let up = json!({ "amount": { "gte": 35, "lte": 135 } });
        assert_eq!(range("amount", window, 35), up);
        let window = Window::after_page(&places(&[35, 20, 10])).unwrap();
        let down = json!({ "amount": { "gte": 0, "lte": 10 } });
        assert_eq!(range("-amount", window, 10), down);
        let window = Window::after_page(&places(&[7, 7])).unwrap();
        let same = json!({ "amount": { "gte": 7, "lte": 8 } });
        assert_eq!(range("amount", window, 7), same);
    }

    #[test]
    fn a_window_in_time_is_exact_to_the_nanosecond() {
        let window = Window::after_page(&places(&[3, 1_000_000_003])).unwrap();
        let expected = json!({ "accepted_at": {
            "gte": "1970-01-01T00:00:01.000000003Z", "lte": "1970-01-01T00:00:05.000000003Z",
        } });
        assert_eq!(range("-created_at", window, 5_000_000_003), expected);
        let latest = range("created_at", window, i64::MAX);
        assert_eq!(
            latest["accepted_at"]["lte"],
            "2262-04-11T23:47:16.854775807Z"
        );
        let earliest = range("-created_at", window, 1);
        assert_eq!(
            earliest["accepted_at"]["gte"],
            "1970-01-01T00:00:00.000000000Z"
        );
    }

    #[test]
    fn a_window_widens_in_few_steps_until_it_is_none() {
        let second = Window::after_page(&places(&[0, 250_000_000]));
        let steps = std::iter::successors(second, |window| window.wider());
        let widths: Vec<_> = steps.map(|window| window.width).collect();
        assert_eq!(widths[..2], [1_000_000_000, 16_000_000_000]);
        assert_eq!(widths.len(), 9);
    }

    #[test]
    fn where_no_window_can_be_judged_there_is_none() {
        assert_eq!(Window::after_page(&[]), None);
        assert_eq!(Window::after_page(&[vec![json!("x")]]), None);
        assert_eq!(Window::after_page(&places(&[i64::MIN, i64::MAX])), None);
        assert_eq!(Window::after_page(&places(&[0, i64::MAX])), None);
    }
}
