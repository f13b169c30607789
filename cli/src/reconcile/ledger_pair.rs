//! What an order and its entries and open holds say of each other. Pure.
//!
//! An order that has ended was read before its entries and holds, and these were written before it
//! ended, so what it lacks it will never have. One that is open may still get them.

use super::difference::{Contradiction, Kind};
use super::row::{SeenRow, is_open};
use domain::{AccountId, OrderState};
use store::OrderRow;
use store::reconcile::{EntryFact, HoldFact, Movements};

/// What contradicts.
pub fn compare(row: &SeenRow, moved: &Movements) -> Vec<Contradiction> {
    match row {
        SeenRow::Row(row) if is_open(row.state) => Vec::new(),
        SeenRow::Row(row) => {
            let entries = entries_kind(row, &moved.entries);
            contradictions(describe(row), entries, Kind::HoldOfEndedOrder, moved)
        }
        SeenRow::Missing => {
            let entries = !moved.entries.is_empty() && !is_funding(&moved.entries);
            let entries = entries.then_some(Kind::EntriesWithoutOrder);
            let order = "order: not there".to_owned();
            contradictions(order, entries, Kind::HoldWithoutOrder, moved)
        }
        // One that moved nothing may be open.
        SeenRow::Unreadable(_) if moved.entries.is_empty() => Vec::new(),
        SeenRow::Unreadable(cause) => {
            let order = format!("order: {cause}");
            vec![entries_contradict(Kind::UnreadableRow, &order, moved)]
        }
    }
}

fn contradictions(
    order: String,
    entries: Option<Kind>,
    open_hold: Kind,
    moved: &Movements,
) -> Vec<Contradiction> {
    let open: Vec<&HoldFact> = moved.holds.iter().filter(|hold| hold.open).collect();
    let of_entries = entries.map(|kind| entries_contradict(kind, &order, moved));
    let of_holds = (!open.is_empty()).then(|| Contradiction {
        kind: open_hold,
        says: [order]
            .into_iter()
            .chain(open.into_iter().map(of_hold))
            .collect(),
    });
    of_entries.into_iter().chain(of_holds).collect()
}

fn entries_contradict(kind: Kind, order: &str, moved: &Movements) -> Contradiction {
    let lines = moved.entries.iter().map(of_entry);
    let none = moved.entries.is_empty().then(|| "entries: none".to_owned());
    let says = [order.to_owned()].into_iter().chain(lines).chain(none);
    Contradiction {
        kind,
        says: says.collect(),
    }
}

fn entries_kind(row: &OrderRow, entries: &[EntryFact]) -> Option<Kind> {
    match row.state {
        OrderState::Paid if entries.is_empty() && !row.legs.is_empty() => {
            Some(Kind::PaidWithoutEntries)
        }
        OrderState::Paid => (!are_its_legs(row, entries)).then_some(Kind::PaidWithOtherEntries),
        OrderState::Cancelled => (!entries.is_empty()).then_some(Kind::EntriesOfUnpaidOrder),
        OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => None,
    }
}

fn are_its_legs(row: &OrderRow, entries: &[EntryFact]) -> bool {
    let of_entry = |entry: &EntryFact| (usize::from(entry.leg), entry.account, entry.delta);
    let mut booked: Vec<(usize, AccountId, i64)> = entries.iter().map(of_entry).collect();
    booked.sort_unstable();
    let legs = row.legs.iter().enumerate();
    booked
        .into_iter()
        .eq(legs.map(|(number, leg)| (number, leg.account, leg.delta())))
}

/// Two entries on one shard that sum to zero, the first of an external account.
fn is_funding(entries: &[EntryFact]) -> bool {
    match entries {
        [from, to] => {
            (from.leg, to.leg) == (0, 1)
                && from.external
                && !to.external
                && from.shard == to.shard
                && from.delta.checked_add(to.delta) == Some(0)
        }
        _ => false,
    }
}

fn describe(row: &OrderRow) -> String {
    let legs: Vec<String> = row
        .legs
        .iter()
        .zip(0..)
        .map(|(leg, number)| format!("leg {number} {:+} on {}", leg.delta(), leg.account))
        .collect();
    let status = row.state.status().as_str();
    format!(
        "order: {status}, {} {}, {}",
        row.amount,
        row.currency,
        legs.join(", ")
    )
}

fn of_entry(entry: &EntryFact) -> String {
    let EntryFact {
        leg,
        delta,
        account,
        shard,
        ..
    } = entry;
    format!("entry: leg {leg} {delta:+} on {account} ({shard})")
}

fn of_hold(hold: &HoldFact) -> String {
    format!(
        "hold: leg {} reserves {} on {}",
        hold.leg, hold.amount, hold.account
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_orders::samples::row;
    use chrono::DateTime;
    use domain::{Leg, LegKind, ShardName, StoreKind};

    fn leg(kind: LegKind, account: u8) -> Leg {
        Leg {
            kind,
            account: AccountId::from_bytes([account; 16]),
            amount: 30,
        }
    }

    fn order(state: OrderState) -> SeenRow {
        let legs = vec![leg(LegKind::Debit, 1), leg(LegKind::Credit, 2)];
        SeenRow::Row(Box::new(OrderRow {
            state,
            legs,
            ..row()
        }))
    }

    fn entry(leg: u8, account: u8, delta: i64) -> EntryFact {
        EntryFact {
            leg,
            account: AccountId::from_bytes([account; 16]),
            external: account == 9,
            delta,
            booked_at: DateTime::UNIX_EPOCH,
            shard: ShardName {
                store: StoreKind::Accounts,
                index: 0,
            },
        }
    }

    fn kinds(row: &SeenRow, entries: &[EntryFact]) -> Vec<Kind> {
        let moved = Movements {
            entries: entries.to_vec(),
            holds: Vec::new(),
        };
        compare(row, &moved)
            .into_iter()
            .map(|said| said.kind)
            .collect()
    }

    #[test]
    fn a_paid_order_has_an_entry_for_each_leg_and_no_other() {
        let paid = order(OrderState::Paid);
        let right = [entry(0, 1, -30), entry(1, 2, 30)];
        assert_eq!(kinds(&paid, &right), []);
        // The shards are read in any order.
        assert_eq!(kinds(&paid, &[right[1].clone(), right[0].clone()]), []);
        assert_eq!(kinds(&paid, &[]), [Kind::PaidWithoutEntries]);
        for wrong in [
            vec![entry(0, 1, -30)],
            vec![entry(0, 1, -30), entry(1, 2, 31)],
            vec![entry(0, 1, -30), entry(1, 3, 30)],
            vec![entry(0, 1, -30), entry(1, 2, 30), entry(2, 3, 1)],
        ] {
            assert_eq!(
                kinds(&paid, &wrong),
                [Kind::PaidWithOtherEntries],
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_cancelled_order_has_no_entry_and_an_open_one_is_not_judged() {
        let booked = [entry(0, 1, -30)];
        let cancelled = order(OrderState::Cancelled);
        assert_eq!(kinds(&cancelled, &[]), []);
        assert_eq!(kinds(&cancelled, &booked), [Kind::EntriesOfUnpaidOrder]);
        for open in [
            OrderState::Trying,
            OrderState::Confirming,
            OrderState::Cancelling,
        ] {
            assert_eq!(kinds(&order(open), &booked), []);
        }
    }

    #[test]
    fn entries_without_an_order_are_a_funding_or_wrong() {
        let none = SeenRow::Missing;
        assert_eq!(kinds(&none, &[]), []);
        assert_eq!(kinds(&none, &[entry(0, 9, -5), entry(1, 2, 5)]), []);
        for wrong in [
            vec![entry(0, 9, -5)],
            vec![entry(0, 9, -5), entry(1, 2, 6)],
            vec![entry(0, 1, -5), entry(1, 2, 5)],
            vec![entry(0, 9, -5), entry(1, 9, 5)],
        ] {
            assert_eq!(
                kinds(&none, &wrong),
                [Kind::EntriesWithoutOrder],
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn an_order_that_cannot_be_read_and_has_entries_is_told() {
        let unreadable = SeenRow::Unreadable("state 99".into());
        assert_eq!(kinds(&unreadable, &[]), []);
        assert_eq!(
            kinds(&unreadable, &[entry(0, 1, -30)]),
            [Kind::UnreadableRow]
        );
    }

    #[test]
    fn an_open_hold_belongs_to_an_open_order() {
        let hold = |open| HoldFact {
            leg: 0,
            account: AccountId::from_bytes([1; 16]),
            amount: 30,
            open,
            created_at: DateTime::UNIX_EPOCH,
        };
        let kinds = |row: &SeenRow, open| -> Vec<Kind> {
            let moved = Movements {
                entries: Vec::new(),
                holds: vec![hold(open)],
            };
            compare(row, &moved)
                .into_iter()
                .map(|said| said.kind)
                .collect()
        };
        let cancelled = order(OrderState::Cancelled);
        assert_eq!(kinds(&cancelled, true), [Kind::HoldOfEndedOrder]);
        assert_eq!(kinds(&cancelled, false), []);
        assert_eq!(kinds(&order(OrderState::Trying), true), []);
        assert_eq!(kinds(&SeenRow::Missing, true), [Kind::HoldWithoutOrder]);
    }
}
