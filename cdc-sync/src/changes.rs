//! From the rows of one event to changes of orders.

use crate::document::is_visible;
use crate::error::{Definite, FollowError};
use crate::hazard::Hazard;
use crate::row_format::Image;
use crate::rows::{OrderRow, RowError, read_id, read_row, read_version};
use crate::table::OrdersTable;
use mysql_async::binlog::events::{Event, EventData, RowsEventData};
use mysql_common::io::ParseBuf;
use std::io;

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
pub fn changes(event: &Event, table: &OrdersTable) -> Result<Vec<Change>, FollowError> {
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
    if rows.num_columns() != table.format.columns() as u64 {
        return Err(unreadable("it has not the table's columns".to_owned()).into());
    }
    let images = Images::of(&rows, table)?;
    let mut data = ParseBuf(rows.rows_data());
    let mut changes = Vec::new();
    while !data.is_empty() {
        let (before, after) = images
            .read(table, &mut data)
            .map_err(|error| unreadable(error.to_string()))?;
        let change = images.change(table, before, after);
        changes.push(change.map_err(|cause| Definite::Row {
            shard: table.shard.clone(),
            cause,
        })?);
    }
    Ok(changes)
}

/// The images that an event holds of each row: which columns are in them.
struct Images {
    before: Option<Vec<bool>>,
    after: Option<Vec<bool>>,
    is_partial: bool,
}

impl Images {
    /// What we read must hold every column.
    fn of(rows: &RowsEventData<'_>, table: &OrdersTable) -> Result<Self, Hazard> {
        let images = Self {
            before: rows
                .columns_before_image()
                .map(|bits| bits.iter().by_vals().collect()),
            after: rows
                .columns_after_image()
                .map(|bits| bits.iter().by_vals().collect()),
            is_partial: matches!(rows, RowsEventData::PartialUpdateRowsEvent(_)),
        };
        match images.after.as_ref().or(images.before.as_ref()) {
            Some(columns) if !is_full(columns) => Err(Hazard::PartialImage(table.schema.clone())),
            _ => Ok(images),
        }
    }

    fn read<'a>(
        &self,
        table: &'a OrdersTable,
        data: &mut ParseBuf<'a>,
    ) -> io::Result<(Option<Image>, Option<Image>)> {
        let mut image = |columns: &Option<Vec<bool>>, is_partial: bool| {
            let columns = columns.as_ref();
            columns
                .map(|columns| table.format.read_image(columns, is_partial, data))
                .transpose()
        };
        Ok((
            image(&self.before, false)?,
            image(&self.after, self.is_partial)?,
        ))
    }

    fn change(
        &self,
        table: &OrdersTable,
        before: Option<Image>,
        after: Option<Image>,
    ) -> Result<Change, RowError> {
        let before = before.filter(|_| self.before.as_deref().is_some_and(is_full));
        let version_at = table.layout.place("version")?;
        let version = |row: &Image| {
            let value = row.get(version_at).ok_or(RowError::Missing("version"))?;
            read_version(value.clone())
        };
        let before_version = before.as_ref().map(version).transpose()?;
        let Some(mut after) = after else {
            let mut row = before.ok_or(RowError::Missing("id"))?;
            let id = row.take(table.layout.place("id")?);
            return Ok(Change::Deleted {
                id: read_id(id.ok_or(RowError::Missing("id"))?)?,
                version: before_version.ok_or(RowError::Missing("version"))?,
            });
        };
        if !is_visible(before_version, version(&after)?) {
            return Ok(Change::Invisible);
        }
        read_row(&table.layout, |at| after.take(at)).map(|row| Change::Visible(Box::new(row)))
    }
}

fn is_full(columns: &[bool]) -> bool {
    columns.iter().all(|here| *here)
}
