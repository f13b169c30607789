//! The tables that a stream describes, and which of them are ours.

use crate::hazard::{Hazard, unreadable};
use crate::row_format::RowFormat;
use crate::rows::Layout;
use crate::source::Shard;
use mysql_async::binlog::events::{Event, OptionalMetadataField, TableMapEvent};

/// An `orders` table of ours as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersTable {
    /// Such as `orders-0`.
    pub shard: String,
    /// Its database.
    pub schema: String,
    /// Where our columns stand.
    pub layout: Layout,
    /// How its rows are stored.
    pub format: RowFormat,
}

/// The table as one of ours; `None` for anybody else's.
pub fn orders_table(
    shards: &[Shard],
    table: &TableMapEvent<'_>,
) -> Result<Option<OrdersTable>, Hazard> {
    let schema = table.database_name();
    let Some(shard) = shards.iter().find(|shard| shard.schema == schema) else {
        return Ok(None);
    };
    if table.table_name_raw() != b"orders" {
        return Ok(None);
    }
    let layout = layout(table)?.ok_or_else(|| Hazard::NoColumnNames(schema.to_string()))?;
    Ok(Some(OrdersTable {
        shard: shard.name.to_string(),
        schema: shard.schema.clone(),
        layout,
        format: RowFormat::of(table).map_err(|error| unreadable("table map", &error))?,
    }))
}

/// The number of the table: both table maps and rows begin with it, six bytes.
pub fn table_id(event: &Event) -> Option<u64> {
    let bytes: [u8; 6] = event.data().get(..6)?.try_into().ok()?;
    let mut wide = [0; 8];
    wide[..6].copy_from_slice(&bytes);
    Some(u64::from_le_bytes(wide))
}

fn layout(table: &TableMapEvent<'_>) -> Result<Option<Layout>, Hazard> {
    for field in table.iter_optional_meta() {
        let field = field.map_err(|error| unreadable("table map", &error))?;
        if let OptionalMetadataField::ColumnName(names) = field {
            let names: Vec<_> = names
                .iter_names()
                .collect::<Result<_, _>>()
                .map_err(|error| unreadable("table map", &error))?;
            return Ok(Some(Layout::of_names(
                names.iter().map(|name| name.name_raw()),
            )));
        }
    }
    Ok(None)
}
