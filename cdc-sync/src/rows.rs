//! An order row, read by column name: from the binlog, or from a query of the snapshot.
//!
//! What the server guarantees about a column is checked here. A column that is missing or of another
//! type is the schema's fault and Definite; it never becomes a document with a guess in it.

use mysql_async::Value;

/// The columns of `orders` that a document is made of.
pub const COLUMNS: [&str; 16] = [
    "id",
    "tenant",
    "merchant",
    "state",
    "reason",
    "version",
    "currency",
    "amount",
    "captured",
    "refunded",
    "branches",
    "reference",
    "description",
    "accepted_at",
    "created_at",
    "updated_at",
];

/// What the documents need of one row of `orders`, codes and texts as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order's id.
    pub id: [u8; 16],
    /// Whose shop.
    pub tenant: String,
    /// Whose sale.
    pub merchant: String,
    /// An [`domain::OrderState`] code.
    pub state: u8,
    /// A [`domain::Reason`] code, 0 for none.
    pub reason: u8,
    /// Grows with every visible change.
    pub version: u64,
    /// Three letters.
    pub currency: String,
    /// Minor units.
    pub amount: i64,
    /// Minor units.
    pub captured: i64,
    /// Minor units.
    pub refunded: i64,
    /// The legs, as [`domain::decode_legs`] reads them.
    pub branches: String,
    /// The merchant's own name for the order.
    pub reference: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// RFC 3339, UTC, microseconds.
    pub accepted_at: String,
    /// RFC 3339, UTC, microseconds.
    pub created_at: String,
    /// RFC 3339, UTC, microseconds.
    pub updated_at: String,
}

/// A row that does not fit the schema we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The table, or this image of the row, lacks the column.
    #[error("the column orders.{0} is missing")]
    Missing(&'static str),
    /// The column holds something else than it should.
    #[error("the column orders.{column} holds {found}, not {expected}")]
    Type {
        /// Which column.
        column: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
}

/// Where each of [`COLUMNS`] stands in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout([Option<usize>; COLUMNS.len()]);

impl Layout {
    /// The layout of a table with these columns, in order. Columns that we do not need are passed
    /// over; one that we need and is not there is an error once a row is read.
    pub fn of_names<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut places = [None; COLUMNS.len()];
        for (at, name) in names.enumerate() {
            let wanted = COLUMNS.iter().position(|column| column.as_bytes() == name);
            if let Some(wanted) = wanted {
                places[wanted] = Some(at);
            }
        }
        Self(places)
    }

    /// Where a column stands.
    pub fn place(&self, column: &'static str) -> Result<usize, RowError> {
        let wanted = COLUMNS.iter().position(|name| *name == column);
        wanted
            .and_then(|wanted| self.0[wanted])
            .ok_or(RowError::Missing(column))
    }
}

/// Reads one row; `value` gives the value at a place, or `None` where the image lacks it.
pub fn read_row(
    layout: &Layout,
    mut value: impl FnMut(usize) -> Option<Value>,
) -> Result<OrderRow, RowError> {
    let mut get = |column: &'static str| {
        let place = layout.place(column)?;
        value(place).ok_or(RowError::Missing(column))
    };
    Ok(OrderRow {
        id: id("id", get("id")?)?,
        tenant: text("tenant", get("tenant")?)?,
        merchant: text("merchant", get("merchant")?)?,
        state: code("state", get("state")?)?,
        reason: code("reason", get("reason")?)?,
        version: unsigned("version", get("version")?)?,
        currency: text("currency", get("currency")?)?,
        amount: signed("amount", get("amount")?)?,
        captured: signed("captured", get("captured")?)?,
        refunded: signed("refunded", get("refunded")?)?,
        branches: text("branches", get("branches")?)?,
        reference: optional_text("reference", get("reference")?)?,
        description: optional_text("description", get("description")?)?,
        accepted_at: time("accepted_at", get("accepted_at")?)?,
        created_at: time("created_at", get("created_at")?)?,
        updated_at: time("updated_at", get("updated_at")?)?,
    })
}

/// The row's version alone.
pub fn read_version(value: Value) -> Result<u64, RowError> {
    unsigned("version", value)
}

/// The row's id alone.
pub fn read_id(value: Value) -> Result<[u8; 16], RowError> {
    id("id", value)
}

fn wrong(column: &'static str, expected: &'static str, value: &Value) -> RowError {
    let found = match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(_) | Value::Double(_) => "a float".to_owned(),
        Value::Date(..) | Value::Time(..) => "a time".to_owned(),
    };
    RowError::Type {
        column,
        expected,
        found,
    }
}

/// The binlog cuts the zero bytes at the end of a BINARY column off; they are put back.
fn id(column: &'static str, value: Value) -> Result<[u8; 16], RowError> {
    match value {
        Value::Bytes(bytes) if bytes.len() <= 16 => {
            let mut id = [0; 16];
            id[..bytes.len()].copy_from_slice(&bytes);
            Ok(id)
        }
        other => Err(wrong(column, "16 bytes", &other)),
    }
}

fn text(column: &'static str, value: Value) -> Result<String, RowError> {
    match value {
        Value::Bytes(bytes) => String::from_utf8(bytes)
            .map_err(|error| wrong(column, "UTF-8 text", &Value::Bytes(error.into_bytes()))),
        other => Err(wrong(column, "text", &other)),
    }
}

fn optional_text(column: &'static str, value: Value) -> Result<Option<String>, RowError> {
    match value {
        Value::NULL => Ok(None),
        value => text(column, value).map(Some),
    }
}

/// Values that fit `i64` come as `Int`, larger ones as `UInt`, whatever the column's type.
fn unsigned(column: &'static str, value: Value) -> Result<u64, RowError> {
    match value {
        Value::UInt(number) => Ok(number),
        Value::Int(number) => u64::try_from(number)
            .map_err(|_| wrong(column, "an unsigned number", &Value::Int(number))),
        other => Err(wrong(column, "an unsigned number", &other)),
    }
}

fn signed(column: &'static str, value: Value) -> Result<i64, RowError> {
    match value {
        Value::Int(number) => Ok(number),
        Value::UInt(number) => i64::try_from(number)
            .map_err(|_| wrong(column, "a signed number", &Value::UInt(number))),
        other => Err(wrong(column, "a signed number", &other)),
    }
}

fn code(column: &'static str, value: Value) -> Result<u8, RowError> {
    let number = unsigned(column, value)?;
    u8::try_from(number).map_err(|_| wrong(column, "a code below 256", &Value::UInt(number)))
}

fn time(column: &'static str, value: Value) -> Result<String, RowError> {
    match value {
        Value::Date(year, month, day, hour, minute, second, micro) if month > 0 && day > 0 => Ok(
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z"),
        ),
        other => Err(wrong(column, "a time", &other)),
    }
}

#[cfg(test)]
mod tests;
