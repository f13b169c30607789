//! Reading the columns that several tables share.

use domain::{Leg, decode_legs};
use sqlx::Row;
use sqlx::mysql::MySqlRow;

/// A BINARY(16) column.
pub(crate) fn id(row: &MySqlRow, column: &str) -> Result<[u8; 16], sqlx::Error> {
    fixed(row, column)
}

/// A BINARY(n) column.
pub(crate) fn fixed<const N: usize>(row: &MySqlRow, column: &str) -> Result<[u8; N], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| decode(column, format!("has {} bytes, not {N}", bytes.len())))
}

/// A column whose value cannot be what it says.
pub(crate) fn decode(column: &str, problem: String) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: problem.into(),
    }
}

/// The legs of an order.
pub(crate) fn legs(row: &MySqlRow) -> Result<Vec<Leg>, sqlx::Error> {
    const COLUMN: &str = "branches";
    let text: &str = row.try_get(COLUMN)?;
    decode_legs(text).map_err(|error| decode(COLUMN, error.to_string()))
}

/// A TINYINT code column.
pub(crate) fn code<C>(row: &MySqlRow, column: &str) -> Result<C, sqlx::Error>
where
    C: TryFrom<u8>,
    C::Error: std::fmt::Display,
{
    let code: u8 = row.try_get(column)?;
    C::try_from(code).map_err(|error| decode(column, error.to_string()))
}

/// A text column that a domain type parses.
pub(crate) fn text<T>(row: &MySqlRow, column: &str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text: &str = row.try_get(column)?;
    text.parse()
        .map_err(|error: T::Err| decode(column, error.to_string()))
}

/// A reason column, where 0 is none.
pub(crate) fn reason(row: &MySqlRow, column: &str) -> Result<Option<domain::Reason>, sqlx::Error> {
    let code: u8 = row.try_get(column)?;
    domain::Reason::from_code(code).map_err(|error| decode(column, error.to_string()))
}
