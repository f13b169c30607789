//! A set of rows as one JSON text, to be bound to one parameter of a statement and read there by
//! `JSON_TABLE`: so the statement's text does not depend on how many rows there are.

use std::fmt::Write;

/// `[[...],[...]]`, written row by row.
#[derive(Debug)]
pub(crate) struct JsonRows {
    text: String,
}

/// The cells of one row, in the order of the statement's columns.
pub(crate) struct JsonRow<'a> {
    text: &'a mut String,
    first: bool,
}

impl JsonRows {
    pub fn new() -> Self {
        Self { text: "[".into() }
    }

    /// The text of all rows.
    pub fn of<T>(
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut JsonRow<'_>, T),
    ) -> String {
        let mut rows = Self::new();
        for item in items {
            rows.push(|row| write(row, item));
        }
        rows.finish()
    }

    pub fn push(&mut self, write: impl FnOnce(&mut JsonRow<'_>)) {
        self.text
            .push_str(if self.text.len() > 1 { ",[" } else { "[" });
        write(&mut JsonRow {
            text: &mut self.text,
            first: true,
        });
        self.text.push(']');
    }

    pub fn is_empty(&self) -> bool {
        self.text.len() == 1
    }

    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    pub fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }
}

impl JsonRow<'_> {
    /// 16 bytes as 32 hexadecimal digits; the statement reads them with UNHEX.
    pub fn id(&mut self, id: &[u8; 16]) -> &mut Self {
        let number = u128::from_be_bytes(*id);
        self.cell(format_args!("\"{number:032x}\""))
    }

    pub fn number(&mut self, number: impl Into<i64>) -> &mut Self {
        self.cell(format_args!("{}", number.into()))
    }

    /// A counter of the store's, which is unsigned there.
    pub fn counter(&mut self, number: u64) -> &mut Self {
        self.cell(format_args!("{number}"))
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        let quoted = serde_json::Value::from(text);
        self.cell(format_args!("{quoted}"))
    }

    pub fn optional_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.cell(format_args!("null")),
        }
    }

    fn cell(&mut self, cell: std::fmt::Arguments<'_>) -> &mut Self {
        if !self.first {
            self.text.push(',');
        }
        self.first = false;
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(cell);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_json_array_of_arrays() {
        let text = JsonRows::of(
            [("a\"\u{1F600}\n", 1_i64), ("b", -2)],
            |row, (name, number)| {
                row.text(name).number(number).optional_text(None);
            },
        );
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read,
            serde_json::json!([["a\"\u{1F600}\n", 1, null], ["b", -2, null]])
        );
        assert_eq!(JsonRows::new().finish(), "[]");
    }

    #[test]
    fn rows_know_whether_there_are_any_and_how_long_they_are() {
        let mut rows = JsonRows::new();
        assert!(rows.is_empty());
        rows.push(|row| {
            row.number(7);
        });
        assert!(!rows.is_empty());
        let bytes = rows.bytes();
        let text = rows.finish();
        assert_eq!((text.as_str(), bytes), ("[[7]]", text.len() - 1));
    }

    #[test]
    fn an_id_is_32_digits() {
        let text = JsonRows::of([[0_u8; 16]], |row, id| {
            row.id(&id);
        });
        assert_eq!(text, "[[\"00000000000000000000000000000000\"]]");
    }
}
