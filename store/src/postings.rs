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
