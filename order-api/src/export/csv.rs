//! Lines of CSV (RFC 4180) that a spreadsheet may open.

use bytes::Bytes;
use std::borrow::Cow;
use std::io;

/// What a spreadsheet takes for the beginning of a formula, or of something it reads one from; the
/// wide forms count where East Asian input methods are in use.
const FORMULA_BEGINS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Lines that are being written.
pub(crate) struct CsvLines(csv::Writer<Vec<u8>>);

impl CsvLines {
    /// No line yet.
    pub(crate) fn new() -> Self {
        let mut builder = csv::WriterBuilder::new();
        builder.terminator(csv::Terminator::CRLF);
        Self(builder.from_writer(Vec::new()))
    }

    /// Adds one line.
    pub(crate) fn add<C: AsRef<[u8]>>(
        &mut self,
        cells: impl IntoIterator<Item = C>,
    ) -> io::Result<()> {
        Ok(self.0.write_record(cells)?)
    }

    /// All lines, each with its end.
    pub(crate) fn written(self) -> io::Result<Bytes> {
        let lines = self.0.into_inner().map_err(|error| error.into_error())?;
        Ok(lines.into())
    }
}

/// A cell of text that was given from outside: one that a spreadsheet would take for a formula gets
/// an apostrophe before it, which makes it text there. Spaces before a formula do not hide it.
pub(crate) fn text_cell(text: &str) -> Cow<'_, str> {
    let begins = |text: &str| text.starts_with(FORMULA_BEGINS);
    if begins(text) || begins(text.trim_start()) {
        return format!("'{text}").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_formula_is_text_and_text_is_left_alone() {
        for formula in [
            "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u{a0}=1", "＝1",
        ] {
            assert_eq!(text_cell(formula), format!("'{formula}"));
        }
        for text in ["", "a=1", "1-2", "'t Hof", "me@example.org", " a"] {
            assert_eq!(text_cell(text), text);
        }
    }

    fn read_back(lines: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader.has_headers(false).from_reader(lines);
        let cells = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
        reader
            .records()
            .map(|record| cells(record.unwrap()))
            .collect()
    }

    proptest! {
        #[test]
        fn every_line_is_read_back_as_it_was_and_no_cell_begins_a_formula(
            texts in proptest::collection::vec("(?s)[ =+@,;\"'\t\r\n-]{0,3}.{0,12}", 1..20),
        ) {
            let mut lines = CsvLines::new();
            for text in &texts {
                lines.add(["ord_1", &text_cell(text), "7"]).unwrap();
            }
            let lines = lines.written().unwrap();
            let read = read_back(&lines);
            prop_assert_eq!(read.len(), texts.len());
            for (cells, text) in read.iter().zip(&texts) {
                prop_assert_eq!((&*cells[0], &*cells[2]), ("ord_1", "7"));
                let cell = &*cells[1];
                prop_assert!(cell == text || cell.strip_prefix('\'') == Some(text), "{cell:?}");
                prop_assert!(!cell.trim_start().starts_with(FORMULA_BEGINS), "{cell:?}");
                prop_assert!(!cell.starts_with(FORMULA_BEGINS), "{cell:?}");
            }
        }
    }
}
