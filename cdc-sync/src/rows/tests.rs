//! Each type of column, as the binlog and a query give it.

use super::*;

fn values() -> Vec<Value> {
    let time = Value::Date(2026, 11, 21, 9, 5, 7, 42);
    vec![
        Value::Bytes(vec![1; 16]),
        Value::Bytes(b"demo".to_vec()),
        Value::Bytes(b"shop".to_vec()),
        Value::Int(10),
        Value::Int(0),
        Value::Int(3),
        Value::Bytes(b"USD".to_vec()),
        Value::Int(2933),
        Value::Int(2933),
        Value::Int(0),
        Value::Bytes(b"[]".to_vec()),
        Value::NULL,
        Value::Bytes("Käse".as_bytes().to_vec()),
        time.clone(),
        time.clone(),
        time,
    ]
}

fn with(column: &'static str, value: Value) -> Result<OrderRow, RowError> {
    let layout = Layout::of_names(COLUMNS.iter().map(|name| name.as_bytes()));
    let mut values = values();
    values[layout.place(column).unwrap()] = value;
    read_row(&layout, |at| values.get(at).cloned())
}

#[test]
fn columns_are_found_by_name_wherever_they_stand() {
    let mut names: Vec<&str> = COLUMNS.to_vec();
    names.reverse();
    names.insert(0, "added_later");
    let layout = Layout::of_names(names.iter().map(|name| name.as_bytes()));
    let mut values = values();
    values.reverse();
    values.insert(0, Value::Int(1));
    let row = read_row(&layout, |at| values.get(at).cloned()).unwrap();
    assert_eq!(row, with("state", Value::Int(10)).unwrap());
}

#[test]
fn a_binary_id_gets_its_cut_off_zeros_back() {
    let row = with("id", Value::Bytes(vec![7, 8])).unwrap();
    assert_eq!(row.id[..3], [7, 8, 0]);
    assert!(with("id", Value::Bytes(vec![0; 17])).is_err());
}

#[test]
fn an_unsigned_version_may_come_signed_or_unsigned() {
    assert_eq!(with("version", Value::Int(7)).unwrap().version, 7);
    let large = u64::MAX;
    assert_eq!(with("version", Value::UInt(large)).unwrap().version, large);
    assert!(with("version", Value::Int(-1)).is_err());
}

#[test]
fn times_keep_their_microseconds_in_utc() {
    let row = with("tenant", Value::Bytes(b"demo".to_vec())).unwrap();
    assert_eq!(row.created_at, "2026-11-21T09:05:07.000042Z");
    let zero = Value::Date(0, 0, 0, 0, 0, 0, 0);
    assert!(with("created_at", zero).is_err());
}

#[test]
fn text_is_utf_8_and_null_only_where_allowed() {
    let row = with("reference", Value::NULL).unwrap();
    assert_eq!(row.description.as_deref(), Some("Käse"));
    assert_eq!(row.reference, None);
    assert!(with("tenant", Value::NULL).is_err());
    assert!(with("tenant", Value::Bytes(vec![0xff])).is_err());
}

#[test]
fn a_missing_column_is_named() {
    let names = COLUMNS.iter().filter(|name| **name != "branches");
    let layout = Layout::of_names(names.map(|name| name.as_bytes()));
    let error = read_row(&layout, |at| values().get(at).cloned()).unwrap_err();
    assert_eq!(error, RowError::Missing("branches"));
    let full = Layout::of_names(COLUMNS.iter().map(|name| name.as_bytes()));
    assert!(read_row(&full, |_| None).is_err());
}

/// A value of any type, out of a few bytes.
fn any_value(bytes: &[u8]) -> Value {
    let mut number = [0; 8];
    let taken = bytes.len().min(8);
    number[..taken].copy_from_slice(&bytes[..taken]);
    let [kind, month, day, hour, minute, second, low, high] = number;
    let year = u16::from_be_bytes([low, high]);
    match kind % 8 {
        0 => Value::NULL,
        1 => Value::Int(i64::from_le_bytes(number)),
        2 => Value::UInt(u64::from_le_bytes(number)),
        3 => Value::Double(f64::from_le_bytes(number)),
        4 => Value::Date(year, month, day, hour, minute, second, u32::from(kind)),
        5 => Value::Time(kind > 127, u32::from(day), hour, minute, second, 0),
        _ => Value::Bytes(bytes.to_vec()),
    }
}

#[test]
fn any_row_becomes_a_document_or_an_error_that_names_what_is_wrong() {
    let layout = Layout::of_names(COLUMNS.iter().map(|name| name.as_bytes()));
    let good = [vec![7; 16], b"debit c 1234".to_vec(), vec![0; 9]];
    domain::mangled::each_mangled(&good, |bytes| {
        let mut values = values();
        let (at, value) = bytes.split_first().unwrap_or((&0, &[]));
        let at = usize::from(*at) % COLUMNS.len();
        values[at] = any_value(value);
        match read_row(&layout, |at| values.get(at).cloned()) {
            Ok(row) => drop(crate::document::document(row, "orders-0")),
            Err(error) => assert!(error.to_string().contains(COLUMNS[at]), "{error}"),
        }
    });
}
