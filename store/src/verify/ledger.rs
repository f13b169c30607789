//! Whether accounts are what their entries and open holds say. Pure: fed with one page of accounts
//! and, in order, their entries, all of one instant.

use super::order_rules::show_entry;
use super::report::Breach;
use super::rows::{AccountFacts, EntryFacts};
use domain::AccountId;
use std::collections::HashMap;

/// A page of accounts whose entries are being read.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: Vec<AccountFacts>,
    running: HashMap<AccountId, Running>,
    breaches: Vec<Breach>,
}

#[derive(Debug, Default)]
struct Running {
    entries: u64,
    balance: i64,
}

impl Ledger {
    pub fn new(accounts: Vec<AccountFacts>) -> Self {
        let running = accounts
            .iter()
            .map(|account| (account.id, Running::default()))
            .collect();
        Self {
            accounts,
            running,
            breaches: Vec::new(),
        }
    }

    /// The next entry, by (account, number).
    pub fn entry(&mut self, entry: &EntryFacts) {
        let mut breach = |text| {
            let rows = vec![show_entry(entry)];
            self.breaches.push(Breach::new("INV-1", text, rows));
        };
        let Some(running) = self.running.get_mut(&entry.account) else {
            return breach("an entry is of an account that does not exist");
        };
        running.entries += 1;
        running.balance = running.balance.wrapping_add(entry.delta);
        if entry.number != running.entries {
            breach("the entries of an account are not numbered without gaps from 1");
        }
        if entry.balance_after != running.balance {
            breach("an entry's balance after is not the sum of the entries so far");
        }
    }

    /// The verdict once all entries were seen; `open_holds` is what they reserve of each account.
    pub fn finish(self, open_holds: &HashMap<AccountId, i64>) -> Vec<Breach> {
        let mut breaches = self.breaches;
        for account in &self.accounts {
            let running = self.running.get(&account.id);
            let (entries, balance) = running.map_or((0, 0), |r| (r.entries, r.balance));
            let open = open_holds.get(&account.id).copied().unwrap_or(0);
            breaches.extend(check_account(account, entries, balance, open));
        }
        breaches
    }
}

fn check_account(account: &AccountFacts, entries: u64, sum: i64, open: i64) -> Vec<Breach> {
    let available = i128::from(account.ledger_balance) - i128::from(account.held);
    let limit = account.credit_limit.map(i128::from);
    let rules = [
        (
            "INV-1",
            account.ledger_balance == sum,
            "the ledger balance is not the sum of the entries",
        ),
        (
            "INV-1",
            account.last_entry == entries,
            "the last entry's number is not the account's",
        ),
        (
            "INV-1",
            account.held == open,
            "the held amount is not what open holds reserve",
        ),
        (
            "INV-3",
            limit.is_none_or(|limit| available + limit >= 0),
            "the available balance is below the limit",
        ),
    ];
    let broken = rules.into_iter().filter(|(_, holds, _)| !holds);
    let row = || {
        format!(
            "account {} ledger_balance={} held={} credit_limit={:?} last_entry={}; {entries} \
             entries sum to {sum}, open holds to {open}",
            account.id,
            account.ledger_balance,
            account.held,
            account.credit_limit,
            account.last_entry
        )
    };
    broken
        .map(|(invariant, _, text)| Breach::new(invariant, text, vec![row()]))
        .collect()
}
