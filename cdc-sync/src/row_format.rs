//! How one table's rows stand in the binlog, and how an image of a row is read by that.
//!
//! The driver reads rows too, but it describes every column anew for every row, which costs more than
//! reading the values; here a table is described once. The values are read by the driver's own decoder.

use mysql_async::Value;
use mysql_async::binlog::events::{OptionalMetaExtractor, TableMapEvent};
use mysql_async::binlog::value::BinlogValue;
use mysql_async::consts::ColumnType;
use mysql_common::io::ParseBuf;
use std::io::{Error, ErrorKind, Result};

/// The stored form of each column, in the table's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFormat(Vec<ColumnFormat>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ColumnFormat {
    kind: ColumnType,
    metadata: Vec<u8>,
    is_unsigned: bool,
}

/// One image of a row: a value at the place of each column that the image holds and we can read.
#[derive(Debug, Clone, PartialEq)]
pub struct Image(Vec<Option<Value>>);

impl Image {
    /// The value at this place.
    pub fn get(&self, at: usize) -> Option<&Value> {
        self.0.get(at)?.as_ref()
    }

    /// The value at this place, which nobody needs after this.
    pub fn take(&mut self, at: usize) -> Option<Value> {
        self.0.get_mut(at)?.take()
    }
}

impl RowFormat {
    /// The format of the rows of this table.
    pub fn of(table: &TableMapEvent<'_>) -> Result<Self> {
        let optional = OptionalMetaExtractor::new(table.iter_optional_meta())?;
        let mut signedness = optional.iter_signedness();
        let mut columns = Vec::new();
        while let Some(kind) = table.get_column_type(columns.len()).map_err(unreadable)? {
            let metadata = table.get_column_metadata(columns.len()).unwrap_or_default();
            columns.push(ColumnFormat {
                kind,
                metadata: metadata.to_vec(),
                // Only numbers have it.
                is_unsigned: kind.is_numeric_type() && signedness.next().unwrap_or_default(),
            });
        }
        Ok(Self(columns))
    }

    /// Columns of the table.
    pub fn columns(&self) -> usize {
        self.0.len()
    }

    /// Reads the next image, which holds the columns that are `present`. An image after a partial update
    /// (`is_partial`) may hold JSON as differences, and begins with what says so.
    pub fn read_image<'a>(
        &'a self,
        present: &[bool],
        is_partial: bool,
        data: &mut ParseBuf<'a>,
    ) -> Result<Image> {
        let mut differences = self.differences(is_partial, data)?;
        let nulls = eat(data, bytes_of(present.iter().filter(|here| **here).count()))?;
        let (mut values, mut place) = (Vec::with_capacity(self.0.len()), 0);
        for (column, here) in self.0.iter().zip(present) {
            let is_difference =
                column.kind == ColumnType::MYSQL_TYPE_JSON && differences.next().unwrap_or(false);
            if !here {
                values.push(None);
                continue;
            }
            values.push(match bit(nulls, place) {
                true => Some(Value::NULL),
                false => column.read(is_difference, data)?,
            });
            place += 1;
        }
        Ok(Image(values))
    }

    /// Which of the JSON columns are differences, in order.
    fn differences<'a>(
        &self,
        is_partial: bool,
        data: &mut ParseBuf<'a>,
    ) -> Result<impl Iterator<Item = bool> + use<'a>> {
        const PARTIAL_JSON: u64 = 1;
        let options = match is_partial {
            true => data.checked_eat_lenenc_int().ok_or_else(too_short)?,
            false => 0,
        };
        let json = |column: &&ColumnFormat| column.kind == ColumnType::MYSQL_TYPE_JSON;
        let count = match options & PARTIAL_JSON {
            0 => 0,
            _ => self.0.iter().filter(json).count(),
        };
        let bits = eat(data, bytes_of(count))?;
        Ok((0..count).map(move |at| bit(bits, at)))
    }
}

impl ColumnFormat {
    /// JSON values are none of our columns'.
    fn read<'a>(&'a self, is_difference: bool, data: &mut ParseBuf<'a>) -> Result<Option<Value>> {
        let context = (self.kind, &*self.metadata, self.is_unsigned, is_difference);
        Ok(match data.parse::<BinlogValue<'_>>(context)? {
            BinlogValue::Value(value) => Some(value),
            BinlogValue::Jsonb(_) | BinlogValue::JsonDiff(_) => None,
        })
    }
}

fn bytes_of(bits: usize) -> usize {
    bits.div_ceil(8)
}

fn bit(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at / 8)
        .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn eat<'a>(data: &mut ParseBuf<'a>, count: usize) -> Result<&'a [u8]> {
    data.checked_eat(count).ok_or_else(too_short)
}

fn too_short() -> Error {
    ErrorKind::UnexpectedEof.into()
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, error.to_string())
}
