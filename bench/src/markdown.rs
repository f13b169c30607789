//! The pieces of a report in Markdown.

use std::fmt::Write;

use crate::samples::{Samples, figure};

/// A heading, and what is to be known about what follows.
pub fn heading(text: &mut String, heading: &str, words: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "\n## {heading}\n");
    if !words.is_empty() {
        let _ = writeln!(text, "{words}\n");
    }
}

/// A table with these columns.
pub fn table(text: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(text, "| {} |", head.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(head.len()));
    for cells in rows {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

/// The quotient of two medians, as a percentage or as a multiple.
pub fn ratio(rate: &Samples, to: &Samples, unit: &str) -> String {
    let quotient = rate.median() / to.median();
    match unit {
        _ if quotient.is_nan() => "–".to_owned(),
        "%" => format!("{:.0} %", quotient * 100.0),
        unit => format!("{} {unit}", figure(quotient)),
    }
}
