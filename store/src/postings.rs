//! What a batch's entries are: numbers, balances after, and the net effect on each account. Pure.

use crate::accounts::{Balance, NetPosting};
use crate::entries::NewEntry;
use crate::holds::BranchKey;
use domain::AccountId;
use std::collections::{BTreeMap, HashMap};

/// One leg to book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booking {
    pub key: BranchKey,
    pub account: AccountId,
    /// Minor units; negative is a debit.
    pub delta: i64,
    /// Minor units that its hold no longer reserves.
    pub release: i64,
}

/// Everything a batch writes to one shard's entries and accounts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Postings {
    /// Sorted by (account, number), as they are clustered.
    pub entries: Vec<NewEntry>,
    /// One for each account, sorted.
    pub nets: Vec<NetPosting>,
}

/// What became of a batch's bookings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    /// What to write.
    pub postings: Postings,
    /// For each booking why it was not booked, if it was not.
    pub failures: Vec<Option<String>>,
}

/// Books in the order given.
pub(crate) fn book(bookings: &[Booking], balances: &HashMap<AccountId, Balance>) -> Booked {
    let mut nets: BTreeMap<AccountId, NetPosting> = BTreeMap::new();
    let mut booked = Booked::default();
    for booking in bookings {
        let failure = match nets
            .get(&booking.account)
            .copied()
            .or_else(|| start(booking, balances))
        {
            None => Some(format!("the account {} does not exist", booking.account)),
            Some(net) => match next(net, booking) {
                None => Some(format!("the balance of {} would overflow", booking.account)),
                Some(net) => {
                    booked.postings.entries.push(entry(booking, net.balance));
                    nets.insert(booking.account, net);
                    None
                }
            },
        };
        booked.failures.push(failure);
    }
    booked
        .postings
        .entries
        .sort_unstable_by_key(|entry| (entry.account, entry.number));
    booked.postings.nets = nets.into_values().collect();
    booked
}

fn start(booking: &Booking, balances: &HashMap<AccountId, Balance>) -> Option<NetPosting> {
    let balance = *balances.get(&booking.account)?;
    Some(NetPosting {
        account: booking.account,
        balance,
        released: 0,
    })
}

fn next(net: NetPosting, booking: &Booking) -> Option<NetPosting> {
    Some(NetPosting {
        account: net.account,
        balance: Balance {
            ledger_balance: net.balance.ledger_balance.checked_add(booking.delta)?,
            last_entry: net.balance.last_entry + 1,
        },
        released: net.released.checked_add(booking.release)?,
    })
}

fn entry(booking: &Booking, after: Balance) -> NewEntry {
    NewEntry {
        account: booking.account,
        number: after.last_entry,
        key: booking.key,
        delta: booking.delta,
        balance_after: after.ledger_balance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Xid;
    use proptest::prelude::*;

    fn booking(place: u8, account: u8, delta: i64) -> Booking {
        Booking {
            key: (Xid::from_bytes([place; 16]), 0),
            account: AccountId::from_bytes([account; 16]),
            delta,
            release: (-delta).max(0),
        }
    }

    fn balances(ledger_balance: i64) -> HashMap<AccountId, Balance> {
        let balance = Balance {
            ledger_balance,
            last_entry: 7,
        };
        (0..3)
            .map(|name| (AccountId::from_bytes([name; 16]), balance))
            .collect()
    }

    #[test]
    fn what_cannot_be_booked_is_named_and_leaves_no_entry() {
        let bookings = [booking(0, 9, 5), booking(1, 1, i64::MAX), booking(2, 1, 1)];
        let booked = book(&bookings, &balances(5));
        let failed: Vec<bool> = booked.failures.iter().map(Option::is_some).collect();
        assert_eq!(failed, [true, true, false]);
        assert_eq!(booked.postings.entries.len(), 1);
        assert_eq!(booked.postings.nets[0].balance.ledger_balance, 6);
    }

    proptest! {
        #[test]
        fn entries_are_numbered_without_gaps_and_sum_to_the_balance(
            legs in proptest::collection::vec((0_u8..3, -100_i64..100), 0..60)
        ) {
            let bookings: Vec<Booking> = (0..).zip(&legs).map(|(i, (a, d))| booking(i, *a, *d)).collect();
            let Postings { entries, nets } = book(&bookings, &balances(50)).postings;
            prop_assert_eq!(entries.len(), legs.len());
            for net in nets {
                let mut balance = Balance { ledger_balance: 50, last_entry: 7 };
                for entry in entries.iter().filter(|e| e.account == net.account) {
                    balance.last_entry += 1;
                    balance.ledger_balance += entry.delta;
                    prop_assert_eq!(entry.number, balance.last_entry);
                    prop_assert_eq!(entry.balance_after, balance.ledger_balance);
                }
                prop_assert_eq!(net.balance, balance);
            }
        }
    }
}
