//! Found orders as lines of CSV. As NDJSON they are the objects of a page.

use super::FoundOrder;
use crate::export::{CsvLines, text_cell};
use bytes::Bytes;
use serde_json::Value;
use std::borrow::Cow;
use std::io;

/// The line that names the columns: the fields of a [`FoundOrder`]. The order's id comes first, as
/// it is what says where to go on.
pub(crate) fn csv_header() -> io::Result<Bytes> {
    let mut lines = CsvLines::new();
    lines.add([
        "id",
        "status",
        "reason",
        "merchant",
        "payer",
        "payee",
        "amount",
        "currency",
        "captured",
        "refunded",
        "reference",
        "description",
        "version",
        "created_at",
        "updated_at",
    ])?;
    lines.written()
}

/// A line for each; what an order does not have is an empty cell.
pub(crate) fn to_csv(orders: &[FoundOrder]) -> io::Result<Bytes> {
    let mut lines = CsvLines::new();
    for order in orders {
        let (payer, payee) = (accounts(&order.payer), accounts(&order.payee));
        lines.add([
            &*text_cell(&order.id),
            &text_cell(&order.status),
            &text_cell(order.reason.as_deref().unwrap_or("")),
            &text_cell(&order.merchant),
            &text_cell(&payer),
            &text_cell(&payee),
            &order.amount.to_string(),
            &text_cell(&order.currency),
            &order.captured.to_string(),
            &order.refunded.to_string(),
            &text_cell(order.reference.as_deref().unwrap_or("")),
            &text_cell(order.description.as_deref().unwrap_or("")),
            &order.version.to_string(),
            &order.created_at,
            &order.updated_at,
        ])?;
    }
    lines.written()
}

/// One account, or several with a space between them.
fn accounts(value: &Option<Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => "".into(),
        Some(Value::String(account)) => account.into(),
        Some(Value::Array(several)) => {
            let several: Vec<_> = several.iter().filter_map(Value::as_str).collect();
            several.join(" ").into()
        }
        Some(other) => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order() -> FoundOrder {
        FoundOrder {
            id: "ord_1".into(),
            status: "paid".into(),
            reason: None,
            merchant: "-shop".into(),
            payer: Some(json!(["acct_1", "acct_2"])),
            payee: Some(json!("acct_3")),
            amount: 1999,
            currency: "USD".into(),
            captured: 1999,
            refunded: 0,
            reference: Some("=1+1".into()),
            description: Some("two, \"so\" to say\r\ndiscs".into()),
            version: 3,
            created_at: "2026-01-31T10:00:00.000001Z".into(),
            updated_at: "2026-01-31T10:00:01.000000Z".into(),
        }
    }

    #[test]
    fn a_line_has_a_cell_for_each_column_and_no_formula() {
        let header = String::from_utf8(csv_header().unwrap().to_vec()).unwrap();
        let line = String::from_utf8(to_csv(&[order()]).unwrap().to_vec()).unwrap();
        assert_eq!(
            line,
            "ord_1,paid,,'-shop,acct_1 acct_2,acct_3,1999,USD,1999,0,'=1+1,\
             \"two, \"\"so\"\" to say\r\ndiscs\",3,2026-01-31T10:00:00.000001Z,\
             2026-01-31T10:00:01.000000Z\r\n"
        );
        let fields = serde_json::to_value(order()).unwrap();
        let columns: Vec<_> = header.trim_end().split(',').collect();
        for column in fields.as_object().unwrap().keys() {
            assert!(columns.contains(&column.as_str()), "{column}");
        }
        // `reason` is left out of the object where there is none.
        assert_eq!(columns.len(), fields.as_object().unwrap().len() + 1);
    }
}
