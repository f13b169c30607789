//! Search over the orders' index: what is asked for, how it is asked, what is answered.
//!
//! Elasticsearch is a copy: slow, stale or gone, it never touches an order. What a page shows is
//! one point in time, and a cursor comes back to exactly that.

mod client;
mod cursor;
mod filters;
mod lines;
mod query;
mod results;
mod sort;
mod strict;
mod window;

pub(crate) use client::{SearchClient, SearchError};
pub(crate) use cursor::{Cursor, CursorError, CursorKey};
pub(crate) use filters::{Filters, Parameters};
pub(crate) use lines::{csv_header, to_csv};
pub(crate) use query::{Scope, only, orders_query, summary_query, with_totals};
pub(crate) use results::{Bucket, FoundOrder, Page, Sums, read_summary};
pub(crate) use sort::Sort;
pub(crate) use strict::{NotChecked, check};
pub(crate) use window::Window;

use serde::{Deserialize, Serialize};

/// What a summary counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SummaryBy {
    /// Who paid, the largest sum first.
    Payer,
    /// Who asked, the largest sum first.
    Merchant,
    /// What came of it.
    Status,
    /// The UTC day of acceptance, the newest first.
    Day,
}
