//! What must come out of the demo, computed from the data alone.

use super::data::Row;
use domain::Reason;
use std::collections::BTreeMap;

/// Customers whose number is divisible by this get no money.
const UNFUNDED_EVERY: u32 = 20;
/// Rows whose number is divisible by this pay the account that was closed before.
const CLOSED_EVERY: u32 = 50;
/// Rows whose number is divisible by this are submitted twice.
const REPEAT_EVERY: u32 = 10;
/// How many of the best customers are shown.
pub const TOP_CUSTOMERS: usize = 3;

/// The figures of a run that went right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Orders sent, repeats not counted.
    pub submitted: usize,
    /// Answered with 400: nothing to pay.
    pub refused: usize,
    /// Requests sent a second time and recognised.
    pub replayed: usize,
    /// Orders that must end one way or the other.
    pub accepted: usize,
    /// Orders whose money must move.
    pub paid: usize,
    /// Orders whose money must not move, by reason.
    pub cancelled_by_reason: BTreeMap<Reason, usize>,
    /// What the paid orders come to, in minor units.
    pub paid_minor_units: i64,
    /// What is left on each customer's account, in minor units.
    pub left_on_account: BTreeMap<u32, i64>,
    /// What each customer paid, in minor units; only those who paid.
    pub paid_by_customer: BTreeMap<u32, i64>,
}

/// What happens to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The API refuses it.
    Refused,
    /// It is paid.
    Paid,
    /// It is cancelled.
    Cancelled(Reason),
}

/// Whether the row pays the closed account.
pub fn pays_closed_account(row: &Row) -> bool {
    row.number.is_multiple_of(CLOSED_EVERY)
}

/// Whether the row is submitted twice.
pub fn is_repeated(row: &Row) -> bool {
    row.number.is_multiple_of(REPEAT_EVERY)
}

/// What each customer is given before the first order, in minor units: the sum of its purchases, or
/// nothing.
///
/// Whoever is funded never runs short, in whatever order the purchases arrive: all its holds
/// together are at most what it was given.
pub fn funding(rows: &[Row]) -> BTreeMap<u32, i64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(row.customer).or_insert(0);
        if !row.customer.is_multiple_of(UNFUNDED_EVERY) {
            *sum += row.amount;
        }
    }
    sums
}

/// What must become of the row. The payer's branch has the lower number, so its refusal is the one
/// that is told when the payee refuses too.
pub fn fate(row: &Row) -> Fate {
    if row.amount == 0 {
        Fate::Refused
    } else if row.customer.is_multiple_of(UNFUNDED_EVERY) {
        Fate::Cancelled(Reason::InsufficientFunds)
    } else if pays_closed_account(row) {
        Fate::Cancelled(Reason::AccountClosed)
    } else {
        Fate::Paid
    }
}

/// The figures of a run over these rows that goes right.
pub fn expected(rows: &[Row]) -> Expected {
    let mut expected = Expected {
        submitted: rows.len(),
        refused: 0,
        replayed: 0,
        accepted: 0,
        paid: 0,
        cancelled_by_reason: BTreeMap::new(),
        paid_minor_units: 0,
        left_on_account: funding(rows),
        paid_by_customer: BTreeMap::new(),
    };
    for row in rows {
        expected.count(row);
    }
    expected
}

impl Expected {
    fn count(&mut self, row: &Row) {
        match fate(row) {
            Fate::Refused => {
                self.refused += 1;
                return;
            }
            Fate::Cancelled(reason) => *self.cancelled_by_reason.entry(reason).or_default() += 1,
            Fate::Paid => {
                self.paid += 1;
                self.paid_minor_units += row.amount;
                *self.paid_by_customer.entry(row.customer).or_default() += row.amount;
                *self.left_on_account.entry(row.customer).or_default() -= row.amount;
            }
        }
        self.accepted += 1;
        self.replayed += usize::from(is_repeated(row));
    }

    /// Orders whose money must not move.
    pub fn cancelled(&self) -> usize {
        self.cancelled_by_reason.values().sum()
    }

    /// What the customers who paid most paid, most first, in minor units.
    pub fn top_amounts(&self) -> Vec<i64> {
        let mut amounts: Vec<i64> = self.paid_by_customer.values().copied().collect();
        amounts.sort_unstable_by(|a, b| b.cmp(a));
        amounts.truncate(TOP_CUSTOMERS);
        amounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::data;

    #[test]
    fn the_whole_file_gives_these_figures() {
        let expected = expected(&data::rows(None).unwrap());
        assert_eq!(
            (expected.submitted, expected.refused, expected.accepted),
            (6_919, 8, 6_911)
        );
        assert_eq!(expected.replayed, 691);
        assert_eq!(expected.paid + expected.cancelled(), expected.accepted);
        assert_eq!(expected.paid, 6_366);
        assert_eq!(
            expected.cancelled_by_reason,
            [
                (Reason::InsufficientFunds, 411),
                (Reason::AccountClosed, 134)
            ]
            .into()
        );
        assert_eq!(expected.paid_minor_units, 22_686_820);
        assert_eq!(expected.top_amounts(), [645_035, 174_758, 154_828]);
    }

    fn row(number: u32, customer: u32, amount: i64) -> Row {
        Row {
            number,
            customer,
            date: String::new(),
            items: 1,
            amount,
        }
    }

    #[test]
    fn each_rule_decides_one_row() {
        assert_eq!(fate(&row(50, 20, 0)), Fate::Refused);
        assert_eq!(fate(&row(1, 1, 5)), Fate::Paid);
        assert_eq!(
            fate(&row(1, 20, 5)),
            Fate::Cancelled(Reason::InsufficientFunds)
        );
        assert_eq!(fate(&row(50, 1, 5)), Fate::Cancelled(Reason::AccountClosed));
        assert_eq!(
            fate(&row(50, 20, 5)),
            Fate::Cancelled(Reason::InsufficientFunds)
        );
    }

    #[test]
    fn what_was_reserved_for_the_closed_account_stays_with_its_owner() {
        let expected = expected(&[row(1, 1, 5), row(50, 1, 7), row(51, 40, 9)]);
        assert_eq!(expected.left_on_account, [(1, 7), (40, 0)].into());
        assert_eq!(expected.paid_minor_units, 5);
        assert_eq!(expected.top_amounts(), [5]);
    }
}
