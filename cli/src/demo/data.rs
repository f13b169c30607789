//! The purchases that the demo submits, read without floats.

use anyhow::Context;

/// The file compiled in, so that the demo runs from any folder.
const CSV: &str = include_str!("../../../demo/cdnow_sample.csv");

/// One purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in the file, from 1.
    pub number: u32,
    /// Who bought.
    pub customer: u32,
    /// When, as `1997-01-18`.
    pub date: String,
    /// How many CDs.
    pub items: u32,
    /// Minor units of US dollars; may be 0.
    pub amount: i64,
}

/// The first `limit` purchases of the file.
pub fn rows(limit: Option<usize>) -> anyhow::Result<Vec<Row>> {
    parse(CSV, limit.unwrap_or(usize::MAX))
}

fn parse(text: &str, limit: usize) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records = reader.records().take(limit).zip(1_u32..);
    let row = |(record, number): (Result<csv::StringRecord, csv::Error>, u32)| {
        parse_record(&record?, number).with_context(|| format!("row {number}"))
    };
    records.map(row).collect()
}

fn parse_record(record: &csv::StringRecord, number: u32) -> anyhow::Result<Row> {
    let field = |place: usize| {
        record
            .get(place)
            .with_context(|| format!("no column {place}"))
    };
    let amount = field(3)?;
    Ok(Row {
        number,
        customer: field(0)?.parse().context("customer")?,
        date: field(1)?.to_owned(),
        items: field(2)?.parse().context("items")?,
        amount: cents(amount).with_context(|| format!("{amount:?} is not dollars and cents"))?,
    })
}

/// `29.33` as 2933; exactly two digits after the point, no sign.
fn cents(text: &str) -> Option<i64> {
    let (dollars, rest) = text.split_once('.')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if rest.len() != 2 || !digits(dollars) || !digits(rest) {
        return None;
    }
    let dollars: i64 = dollars.parse().ok()?;
    let rest: i64 = rest.parse().ok()?;
    dollars.checked_mul(100)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_cents_exactly() {
        assert_eq!(cents("29.33"), Some(2933));
        assert_eq!(cents("0.00"), Some(0));
        assert_eq!(cents("0.07"), Some(7));
        // 1.15 and 4.35 are not exact as binary fractions.
        assert_eq!((cents("1.15"), cents("4.35")), (Some(115), Some(435)));
        for bad in [
            "",
            "1",
            "1.",
            ".50",
            "1.5",
            "1.505",
            "-1.00",
            "+1.00",
            "1e2",
            "99999999999999999999.00",
        ] {
            assert_eq!(cents(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_file_is_whole() {
        let rows = rows(None).unwrap();
        assert_eq!(rows.len(), 6_919);
        assert_eq!(
            rows[0],
            Row {
                number: 1,
                customer: 4,
                date: "1997-01-01".into(),
                items: 2,
                amount: 2933
            }
        );
        let customers: std::collections::BTreeSet<u32> =
            rows.iter().map(|row| row.customer).collect();
        assert_eq!(customers.len(), 2_357);
        assert_eq!(rows.iter().filter(|row| row.amount == 0).count(), 8);
    }
}
