//! What an order, its holds and its entries must say of each other. Pure.

use super::report::Breach;
use super::rows::{EntryFacts, HoldFacts, OrderFacts};
use crate::holds::{BranchKey, HoldState};
use domain::{Leg, LegKind, OrderState, Xid};
use std::collections::HashMap;

/// What the account shards have of the branches of some orders.
#[derive(Debug, Default)]
pub(super) struct BranchRows {
    pub holds: HashMap<BranchKey, HoldFacts>,
    pub entries: HashMap<BranchKey, EntryFacts>,
}

/// Everything wrong with one order. The rows may have been read at different instants, so for an
/// open order it is only a suspicion.
pub(super) fn check_order(order: &OrderFacts, branches: &BranchRows) -> Vec<Breach> {
    let rows = || shown(order, branches);
    let mut breaches = check_row(order, rows);
    for (number, leg) in (0..).zip(&order.legs) {
        let key = (Xid::from(order.id), number);
        let (hold, entry) = (branches.holds.get(&key), branches.entries.get(&key));
        if let Some((invariant, text)) = check_leg(order.state, leg, hold, entry) {
            let text = format!("leg {number} of an order that is {:?}: {text}", order.state);
            breaches.push(Breach::new(invariant, text, rows()));
        }
    }
    breaches
}

/// The order's row by itself.
fn check_row(order: &OrderFacts, rows: impl Fn() -> Vec<String>) -> Vec<Breach> {
    let (open, captured) = match order.state {
        OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => (true, 0),
        OrderState::Paid => (false, order.amount),
        OrderState::Cancelled => (false, 0),
    };
    let is_cancelled = match order.state {
        OrderState::Cancelling | OrderState::Cancelled => true,
        OrderState::Trying | OrderState::Confirming | OrderState::Paid => false,
    };
    let sum: i64 = order.legs.iter().map(Leg::delta).sum();
    let debits = order.legs.iter().filter(|leg| leg.kind == LegKind::Debit);
    let debited: i64 = debits.map(|leg| leg.amount).sum();
    let rules = [
        ("INV-1", sum == 0, "the legs of an order do not sum to zero"),
        (
            "INV-2",
            order.reason.is_some() == is_cancelled,
            "a reason goes with a cancelled order only",
        ),
        (
            "INV-3",
            order.refunded <= order.captured,
            "more was refunded than captured",
        ),
        (
            "INV-5",
            order.due == open,
            "an order is due for the sweeper exactly while it is open",
        ),
        (
            "INV-5",
            !(order.late && order.state == OrderState::Trying),
            "an order is undecided minutes past its deadline",
        ),
        // The legs are written once, with the order, and never change.
        (
            "INV-6",
            debited == order.amount,
            "the debits of an order do not sum to its amount",
        ),
        (
            "INV-6",
            order.captured == captured,
            "the captured amount does not fit the state",
        ),
        (
            "INV-6",
            open || order.version >= 2,
            "an order ended without a new version",
        ),
    ];
    let broken = rules.into_iter().filter(|(_, holds, _)| !holds);
    broken
        .map(|(invariant, _, text)| Breach::new(invariant, text, rows()))
        .collect()
}

type Problem = Option<(&'static str, &'static str)>;

fn check_leg(
    state: OrderState,
    leg: &Leg,
    hold: Option<&HoldFacts>,
    entry: Option<&EntryFacts>,
) -> Problem {
    if entry.is_some_and(|e| (e.account, e.delta) != (leg.account, leg.delta())) {
        return Some(("INV-1", "its entry is of another account or amount"));
    }
    match leg.kind {
        LegKind::Debit => check_debit(state, leg, hold, entry.is_some()),
        LegKind::Credit if hold.is_some() => Some(("INV-2", "a credit has a hold")),
        LegKind::Credit => check_entry(state, entry.is_some()),
    }
}

fn check_entry(state: OrderState, booked: bool) -> Problem {
    match (state, booked) {
        (OrderState::Paid, false) => Some(("INV-4", "it was never booked")),
        (OrderState::Trying, true) => Some(("INV-2", "it was booked before the decision")),
        (OrderState::Cancelling | OrderState::Cancelled, true) => {
            Some(("INV-2", "it was booked although the order is cancelled"))
        }
        (OrderState::Paid | OrderState::Confirming, true)
        | (
            OrderState::Trying
            | OrderState::Confirming
            | OrderState::Cancelling
            | OrderState::Cancelled,
            false,
        ) => None,
    }
}

fn check_debit(state: OrderState, leg: &Leg, hold: Option<&HoldFacts>, booked: bool) -> Problem {
    let Some(hold) = hold else {
        return match state {
            OrderState::Trying | OrderState::Cancelling => check_entry(state, booked),
            OrderState::Cancelled => Some(("INV-2", "neither a hold nor a tombstone is there")),
            OrderState::Confirming | OrderState::Paid => Some(("INV-2", "its hold is missing")),
        };
    };
    let amount = match hold.state {
        HoldState::CancelledBefore => 0,
        HoldState::Reserved | HoldState::Refused | HoldState::Confirmed | HoldState::Cancelled => {
            leg.amount
        }
    };
    let captured = if hold.state == HoldState::Confirmed {
        amount
    } else {
        0
    };
    if (hold.account, hold.amount, hold.captured) != (leg.account, amount, captured) {
        return Some(("INV-1", "its hold is of another account or amount"));
    }
    if (hold.state == HoldState::Confirmed) != booked {
        return Some(("INV-2", "a captured hold and an entry must go together"));
    }
    check_hold_state(state, hold.state)
}

fn check_hold_state(state: OrderState, hold: HoldState) -> Problem {
    let problem = match state {
        OrderState::Trying => match hold {
            HoldState::Reserved | HoldState::Refused => return None,
            HoldState::Confirmed => "captured before the decision",
            HoldState::Cancelled | HoldState::CancelledBefore => "cancelled before the decision",
        },
        OrderState::Confirming => match hold {
            HoldState::Reserved | HoldState::Confirmed => return None,
            HoldState::Refused | HoldState::Cancelled | HoldState::CancelledBefore => {
                "the decision is to confirm what is not reserved"
            }
        },
        OrderState::Cancelling => match hold {
            HoldState::Confirmed => "captured although the order is cancelled",
            HoldState::Reserved
            | HoldState::Refused
            | HoldState::Cancelled
            | HoldState::CancelledBefore => return None,
        },
        OrderState::Paid => match hold {
            HoldState::Confirmed => return None,
            HoldState::Reserved => return Some(("INV-5", "its hold is still open")),
            HoldState::Refused | HoldState::Cancelled | HoldState::CancelledBefore => {
                "paid without a captured hold"
            }
        },
        OrderState::Cancelled => match hold {
            HoldState::Refused | HoldState::Cancelled | HoldState::CancelledBefore => return None,
            HoldState::Reserved => return Some(("INV-5", "its hold is still open")),
            HoldState::Confirmed => "captured although the order is cancelled",
        },
    };
    Some(("INV-2", problem))
}

/// A hold seen from its own side: its order must know it.
pub(super) fn check_hold(hold: &HoldFacts, order: Option<&OrderFacts>) -> Option<Breach> {
    let rows = || vec![show_hold(hold)];
    let Some(order) = order else {
        return Some(Breach::new("INV-5", "a hold has no order", rows()));
    };
    let leg = order.legs.get(usize::from(hold.key.1));
    let known = leg.is_some_and(|leg| leg.account == hold.account && leg.kind == LegKind::Debit);
    (!known).then(|| Breach::new("INV-5", "a hold is no leg of its order", rows()))
}

/// An entry seen from its own side: it must be a leg of its order.
pub(super) fn check_entry_of(entry: &EntryFacts, order: &OrderFacts) -> Option<Breach> {
    let leg = order.legs.get(usize::from(entry.key.1));
    let known = leg.is_some_and(|leg| (leg.account, leg.delta()) == (entry.account, entry.delta));
    let rows = || vec![show_entry(entry)];
    (!known).then(|| Breach::new("INV-1", "an entry is no leg of its order", rows()))
}

fn shown(order: &OrderFacts, branches: &BranchRows) -> Vec<String> {
    let mut rows = vec![format!(
        "order {} state={:?} reason={:?} version={} amount={} captured={} refunded={}",
        order.id,
        order.state,
        order.reason,
        order.version,
        order.amount,
        order.captured,
        order.refunded
    )];
    for (number, _) in (0..).zip(&order.legs) {
        let key = (Xid::from(order.id), number);
        rows.extend(branches.holds.get(&key).map(show_hold));
        rows.extend(branches.entries.get(&key).map(show_entry));
    }
    rows
}

fn show_hold(hold: &HoldFacts) -> String {
    let (xid, leg) = hold.key;
    format!(
        "hold {xid} leg={leg} account={} amount={} captured={} state={:?}",
        hold.account, hold.amount, hold.captured, hold.state
    )
}

pub(super) fn show_entry(entry: &EntryFacts) -> String {
    let (xid, leg) = entry.key;
    format!(
        "entry {} number={} {xid} leg={leg} delta={} balance_after={}",
        entry.account, entry.number, entry.delta, entry.balance_after
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AccountId, OrderId, Reason};

    fn order(state: OrderState, debits: &[i64], amount: i64) -> OrderFacts {
        let leg = |kind, account, amount| Leg {
            kind,
            account: AccountId::from_bytes([account; 16]),
            amount,
        };
        let mut legs: Vec<Leg> = debits
            .iter()
            .map(|debit| leg(LegKind::Debit, 1, *debit))
            .collect();
        legs.push(leg(LegKind::Credit, 2, debits.iter().sum()));
        let open = match state {
            OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => true,
            OrderState::Paid | OrderState::Cancelled => false,
        };
        let cancelled = [OrderState::Cancelling, OrderState::Cancelled].contains(&state);
        OrderFacts {
            seq: 1,
            id: OrderId::from_bytes([7; 16]),
            state,
            reason: cancelled.then_some(Reason::Expired),
            version: if open { 1 } else { 2 },
            currency: "USD".to_owned(),
            amount,
            captured: if state == OrderState::Paid { amount } else { 0 },
            refunded: 0,
            legs,
            due: open,
            late: false,
        }
    }

    #[test]
    fn the_debits_of_an_order_in_any_state_sum_to_its_amount() {
        for state in [
            OrderState::Trying,
            OrderState::Confirming,
            OrderState::Cancelling,
            OrderState::Paid,
            OrderState::Cancelled,
        ] {
            assert_eq!(check_row(&order(state, &[10], 10), Vec::new), []);
            assert_eq!(check_row(&order(state, &[4, 6], 10), Vec::new), []);
            let wrong = check_row(&order(state, &[10], 11), Vec::new);
            assert_eq!(wrong.len(), 1, "{state:?}: {wrong:?}");
            assert_eq!(wrong[0].invariant, "INV-6");
            assert!(wrong[0].text.contains("sum to its amount"), "{wrong:?}");
        }
    }
}
