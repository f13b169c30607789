//! From the rows of one event to changes of orders.

use crate::document::is_visible;
use crate::error::{Definite, FollowError};
use crate::hazard::Hazard;
use crate::rows::{OrderRow, RowError, read_id, read_row, read_version};
use crate::table::OrdersTable;
use mysql_async::Value;
use mysql_async::binlog::events::{Event, EventData, RowsEventData, TableMapEvent};
use mysql_async::binlog::row::BinlogRow;
use mysql_async::binlog::value::BinlogValue;

/// What happened to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new, or something that others can see has changed.
    Visible(Box<OrderRow>),
    /// Only leases and attempts changed.
    Invisible,
    /// It is gone, which an order never should be.
    Deleted {
        /// The order.
        id: [u8; 16],
        /// The last version it had.
        version: u64,
    },
}

/// The changes of an event on one of our tables.
pub fn changes(
    event: &Event,
    table: &OrdersTable,
    described: &TableMapEvent<'_>,
) -> Result<Vec<Change>, FollowError> {
    let unreadable = |cause: String| Hazard::Unreadable {
        what: "rows",
        cause,
    };
    let data = event
        .read_data()
        .map_err(|error| unreadable(error.to_string()))?;
    let Some(EventData::RowsEvent(rows)) = data else {
        return Err(unreadable("it holds no rows".to_owned()).into());
    };
    let images = Images::of(&rows, table)?;
    let mut changes = Vec::new();
    for pair in rows.rows(described) {
        // An error repeats for ever, so the first one ends it.
        let (before, after) = pair.map_err(|error| unreadable(error.to_string()))?;
        let change = images.change(table, before, after);
        changes.push(change.map_err(|cause| Definite::Row {
            shard: table.shard.clone(),
            cause,
        })?);
    }
    Ok(changes)
}

/// Which images of an event hold every column, so that a column's place is its place in the table.
struct Images {
    before_is_full: bool,
}

impl Images {
    fn of(rows: &RowsEventData<'_>, table: &OrdersTable) -> Result<Self, Hazard> {
        let before = rows.columns_before_image().map(|columns| columns.all());
        let after = rows.columns_after_image().map(|columns| columns.all());
        if after == Some(false) || (after.is_none() && before == Some(false)) {
            return Err(Hazard::PartialImage(table.schema.clone()));
        }
        Ok(Self {
            before_is_full: before == Some(true),
        })
    }

    fn change(
        &self,
        table: &OrdersTable,
        before: Option<BinlogRow>,
        after: Option<BinlogRow>,
    ) -> Result<Change, RowError> {
        let before = before.filter(|_| self.before_is_full);
        let version_at = table.layout.place("version")?;
        let version = |row: &BinlogRow| {
            let value = plain(row, version_at).ok_or(RowError::Missing("version"))?;
            read_version(value)
        };
        let before_version = before.as_ref().map(version).transpose()?;
        let Some(after) = after else {
            let row = before.as_ref().ok_or(RowError::Missing("id"))?;
            let id = plain(row, table.layout.place("id")?).ok_or(RowError::Missing("id"))?;
            return Ok(Change::Deleted {
                id: read_id(id)?,
                version: before_version.ok_or(RowError::Missing("version"))?,
            });
        };
        if !is_visible(before_version, version(&after)?) {
            return Ok(Change::Invisible);
        }
        read_row(&table.layout, |at| plain(&after, at)).map(|row| Change::Visible(Box::new(row)))
    }
}

/// The value at a place. JSON values are none of our columns'.
fn plain(row: &BinlogRow, at: usize) -> Option<Value> {
    match row.as_ref(at)? {
        BinlogValue::Value(value) => Some(value.clone()),
        BinlogValue::Jsonb(_) | BinlogValue::JsonDiff(_) => None,
    }
}
