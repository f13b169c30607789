//! An entry as statements and exports show it.

use crate::auth::Identity;
use crate::order_view::shown_time;
use crate::state::App;
use domain::OrderId;
use serde::Serialize;
use store::StatementEntry;
use utoipa::ToSchema;

/// One line of a statement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementEntry)]
pub(crate) struct EntryView {
    /// Its place among all of the account's entries, from 1, without gaps.
    pub(crate) number: u64,
    /// When it was booked, by the database's clock.
    #[schema(format = DateTime)]
    pub(crate) booked_at: String,
    /// `payment` or `funding`; more may come.
    #[schema(example = "payment")]
    pub(crate) kind: &'static str,
    /// The order or the funding that it is of; null where the order is another merchant's.
    #[schema(example = "ord_0f1e2d3c4b5a8978b6a5948372615040")]
    pub(crate) of: Option<String>,
    /// Minor units; negative is a debit.
    pub(crate) amount: i64,
    /// The ledger balance right after it, in minor units.
    pub(crate) balance_after: i64,
}

impl EntryView {
    /// The entry as this caller may see it: to him, another merchant's order does not exist.
    pub(crate) fn of(entry: &StatementEntry, app: &App, caller: &Identity) -> Self {
        let order = OrderId::from(entry.xid);
        let is_his = caller
            .merchant
            .as_deref()
            .is_none_or(|merchant| app.id_key.knows(order, &caller.tenant, merchant));
        let (kind, of) = match entry.is_funding {
            true => ("funding", Some(entry.xid.to_string())),
            false => ("payment", is_his.then(|| order.to_string())),
        };
        Self {
            number: entry.number,
            booked_at: shown_time(entry.booked_at),
            kind,
            of,
            amount: entry.delta,
            balance_after: entry.balance_after,
        }
    }
}
