//! The page of plain words and figures at the end of a run.

use super::report::Report;
use domain::{Currency, Money};
use std::fmt::Write;

const LABEL: usize = 14;

/// A customer and what search says it paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopCustomer {
    /// The number in the data.
    pub customer: u32,
    /// How many of its orders were paid.
    pub orders: u64,
    /// What they come to, in minor units.
    pub paid_minor_units: i64,
}

/// The page.
pub fn page(run: &str, report: &Report, currency: Currency, top: &[TopCustomer]) -> String {
    let money = |minor_units| {
        Money {
            minor_units,
            currency,
        }
        .to_string()
    };
    let mut page = Page(format!("\nHoldfast demo, run {run}\n\n"));
    page.line(
        "submitted",
        report.submitted,
        "orders, made of real purchases",
    );
    page.line("refused", report.refused, "of 0.00: nothing to pay");
    page.line(
        "replayed",
        report.replayed,
        "sent twice, none made two orders",
    );
    let rate = per_second(report.accepted, report.accept_seconds);
    page.line(
        "accepted",
        report.accepted,
        &format!("in {:.1} s, {rate} a second", report.accept_seconds),
    );
    let moved = money(report.paid_minor_units);
    page.line("paid", report.paid, &format!("{moved} moved to the shop"));
    page.line("cancelled", report.cancelled, &reasons(report));
    page.text(
        "held",
        &format!(
            "{}, still reserved on any account",
            money(report.held_minor_units)
        ),
    );
    let rate = per_second(report.accepted, report.drained_seconds);
    page.text(
        "drained",
        &format!(
            "{:.1} s after the first request: {rate} orders a second from request to outcome",
            report.drained_seconds
        ),
    );
    page.search(report, top, &money);
    page.text("verify", verdict(report.verify));
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, label: &str, count: usize, rest: &str) {
        let rest = format!("{:>6}  {rest}", thousands(count));
        self.text(label, &rest);
    }

    fn text(&mut self, label: &str, rest: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "  {label:<LABEL$}{rest}");
    }

    fn search(&mut self, report: &Report, top: &[TopCustomer], money: &dyn Fn(i64) -> String) {
        let (Some(count), Some(seconds)) = (report.searchable, report.searchable_seconds) else {
            self.text("searchable", "search is switched off");
            return;
        };
        let later = (seconds - report.drained_seconds).max(0.0);
        let rest = format!("{later:.1} s after the last outcome, paid to searchable");
        self.line("searchable", count, &rest);
        for (place, customer) in (1..).zip(top) {
            let label = if place == 1 { "top customers" } else { "" };
            let orders = customer.orders;
            let paid = money(customer.paid_minor_units);
            let number = customer.customer;
            let rest = format!("{place}. customer {number:05}, {paid} in {orders} paid orders");
            self.text(label, &rest);
        }
    }
}

fn reasons(report: &Report) -> String {
    let reasons = report.cancelled_by_reason.iter();
    let words: Vec<String> = reasons
        .map(|(reason, count)| format!("{count} {}", reason.as_str()))
        .collect();
    words.join(", ")
}

fn verdict(verify: &str) -> &'static str {
    match verify {
        "ok" => "ok: INV-1 to INV-7 hold, the books are balanced",
        "breach" => "A BREACH was found: see above, and run `holdfast verify`",
        _ => "could not be done: see above",
    }
}

fn per_second(count: usize, seconds: f64) -> String {
    thousands((count as f64 / seconds.max(0.001)).round() as usize)
}

/// `6,919`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_off() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(691), "691");
        assert_eq!(thousands(6_919), "6,919");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
