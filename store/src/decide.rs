//! Which legs of a batch an account's rules allow. Pure: the caller has locked the payers, so the
//! answer for the batch is the same as for its orders one by one.
//!
//! The reasons have an order: an account that may not be known is not found, whatever else is
//! wrong with it; then closed, then of another currency, then short of funds.

use crate::AccountLeg;
use crate::accounts::AccountState;
use domain::{AccountId, AccountKind, AccountStatus, Reason};
use std::collections::{BTreeMap, HashMap};

/// The answers for a batch's debits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DebitDecision {
    /// For each leg, in the order given, why it is refused.
    pub refusals: Vec<Option<Reason>>,
    /// What the reserved ones add to each account's `held`, in minor units.
    pub held: BTreeMap<AccountId, i64>,
}

/// Decides debits one after the other in the order they arrived; each reserves before the next is
/// looked at. Legs that arrived together keep the order given.
pub(crate) fn decide_debits(
    legs: &[&AccountLeg],
    payers: &HashMap<AccountId, AccountState>,
) -> DebitDecision {
    let mut decision = DebitDecision {
        refusals: vec![None; legs.len()],
        held: BTreeMap::new(),
    };
    let mut by_arrival: Vec<usize> = (0..legs.len()).collect();
    by_arrival.sort_by_key(|place| legs[*place].arrival);
    for place in by_arrival {
        let leg = legs[place];
        let payer = payers.get(&leg.account);
        let held = decision.held.get(&leg.account).copied().unwrap_or(0);
        match debit_refusal(leg, payer, held) {
            Some(reason) => decision.refusals[place] = Some(reason),
            None => {
                decision.held.insert(leg.account, held + leg.amount);
            }
        }
    }
    decision
}

fn debit_refusal(
    leg: &AccountLeg,
    payer: Option<&AccountState>,
    held_by_batch: i64,
) -> Option<Reason> {
    let Some(payer) = payer.filter(|payer| may_charge(leg, payer)) else {
        return Some(Reason::AccountNotFound);
    };
    if let Some(reason) = unusable(leg, payer) {
        return Some(reason);
    }
    // 128 bits, so that no sum here can overflow.
    let limit = i128::from(payer.credit_limit?);
    let held = i128::from(payer.held) + i128::from(held_by_batch);
    let available = i128::from(payer.ledger_balance) - held + limit;
    (available < i128::from(leg.amount)).then_some(Reason::InsufficientFunds)
}

/// Why a credit is refused, if it is.
pub(crate) fn credit_refusal(leg: &AccountLeg, payee: Option<&AccountState>) -> Option<Reason> {
    match payee.filter(|payee| is_of_tenant(leg, payee)) {
        Some(payee) => unusable(leg, payee),
        None => Some(Reason::AccountNotFound),
    }
}

/// Customers may be charged by every merchant of their tenant, a merchant's account only by its
/// own.
fn may_charge(leg: &AccountLeg, payer: &AccountState) -> bool {
    is_of_tenant(leg, payer)
        && match payer.kind {
            AccountKind::Customer => true,
            AccountKind::Merchant => payer.merchant.as_deref() == Some(&*leg.merchant),
            AccountKind::External => false,
        }
}

fn is_of_tenant(leg: &AccountLeg, account: &AccountState) -> bool {
    match account.kind {
        AccountKind::Customer | AccountKind::Merchant => account.tenant == *leg.tenant,
        AccountKind::External => false,
    }
}

fn unusable(leg: &AccountLeg, account: &AccountState) -> Option<Reason> {
    match account.status {
        AccountStatus::Closed => Some(Reason::AccountClosed),
        AccountStatus::Open if account.currency != leg.currency => Some(Reason::CurrencyMismatch),
        AccountStatus::Open => None,
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
