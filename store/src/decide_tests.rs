//! One test a rule, and the law of sets: a batch decides as its orders would one by one.

use super::*;
use domain::{Currency, LegKind};
use proptest::prelude::*;
use std::sync::Arc;

fn usd() -> Currency {
    "USD".parse().unwrap()
}

fn account(ledger_balance: i64) -> AccountState {
    AccountState {
        tenant: "demo".into(),
        merchant: None,
        kind: AccountKind::Customer,
        currency: usd(),
        status: AccountStatus::Open,
        ledger_balance,
        held: 0,
        credit_limit: Some(0),
    }
}

fn leg(account: u8, amount: i64, arrival: u32) -> AccountLeg {
    AccountLeg {
        tenant: Arc::from("demo"),
        merchant: Arc::from("shop"),
        kind: LegKind::Debit,
        account: AccountId::from_bytes([account; 16]),
        amount,
        currency: usd(),
        arrival,
    }
}

fn debit(state: AccountState, amount: i64) -> Option<Reason> {
    let payers = HashMap::from([(AccountId::from_bytes([1; 16]), state)]);
    decide_debits(&[&leg(1, amount, 0)], &payers).refusals[0]
}

fn credit(state: AccountState) -> Option<Reason> {
    credit_refusal(&leg(1, 10, 0), Some(&state))
}

#[test]
fn a_payer_may_spend_what_is_available_and_no_more() {
    assert_eq!(debit(account(10), 10), None);
    assert_eq!(debit(account(10), 11), Some(Reason::InsufficientFunds));
    let held = AccountState {
        held: 4,
        ..account(10)
    };
    assert_eq!(debit(held.clone(), 6), None);
    assert_eq!(debit(held, 7), Some(Reason::InsufficientFunds));
    let credit = AccountState {
        credit_limit: Some(5),
        ..account(10)
    };
    assert_eq!(debit(credit.clone(), 15), None);
    assert_eq!(debit(credit, 16), Some(Reason::InsufficientFunds));
}

#[test]
fn another_tenants_account_does_not_exist() {
    let other = AccountState {
        tenant: "other".into(),
        ..account(10)
    };
    assert_eq!(debit(other.clone(), 1), Some(Reason::AccountNotFound));
    assert_eq!(credit(other), Some(Reason::AccountNotFound));
    let payers = HashMap::new();
    let missing = decide_debits(&[&leg(1, 1, 0)], &payers);
    assert_eq!(missing.refusals, [Some(Reason::AccountNotFound)]);
    assert_eq!(
        credit_refusal(&leg(1, 1, 0), None),
        Some(Reason::AccountNotFound)
    );
}

#[test]
fn a_merchants_account_is_charged_by_its_own_merchant_only() {
    let of = |merchant: &str| AccountState {
        kind: AccountKind::Merchant,
        merchant: Some(merchant.into()),
        ..account(10)
    };
    assert_eq!(debit(of("shop"), 1), None);
    assert_eq!(debit(of("other"), 1), Some(Reason::AccountNotFound));
    assert_eq!(credit(of("other")), None);
}

#[test]
fn a_customer_is_charged_by_every_merchant_of_the_tenant() {
    let other = AccountState {
        merchant: Some("other".into()),
        ..account(10)
    };
    assert_eq!(debit(other, 1), None);
}

#[test]
fn an_external_account_is_never_named() {
    let external = AccountState {
        kind: AccountKind::External,
        credit_limit: None,
        ..account(10)
    };
    assert_eq!(debit(external.clone(), 1), Some(Reason::AccountNotFound));
    assert_eq!(credit(external), Some(Reason::AccountNotFound));
}

#[test]
fn closed_comes_before_currency_and_currency_before_funds() {
    let closed = AccountState {
        status: AccountStatus::Closed,
        currency: "EUR".parse().unwrap(),
        ..account(0)
    };
    assert_eq!(debit(closed.clone(), 1), Some(Reason::AccountClosed));
    assert_eq!(credit(closed.clone()), Some(Reason::AccountClosed));
    let foreign = AccountState {
        status: AccountStatus::Open,
        ..closed
    };
    assert_eq!(debit(foreign.clone(), 1), Some(Reason::CurrencyMismatch));
    assert_eq!(credit(foreign), Some(Reason::CurrencyMismatch));
}

#[test]
fn whoever_arrives_first_gets_the_money() {
    let payers = HashMap::from([(AccountId::from_bytes([1; 16]), account(10))]);
    let legs = [leg(1, 10, 7), leg(1, 10, 3)];
    let legs: Vec<&AccountLeg> = legs.iter().collect();
    let decision = decide_debits(&legs, &payers);
    assert_eq!(decision.refusals, [Some(Reason::InsufficientFunds), None]);
}

#[test]
fn a_refused_leg_does_not_stand_in_the_way_of_a_smaller_one() {
    let payers = HashMap::from([(AccountId::from_bytes([1; 16]), account(10))]);
    let legs = [leg(1, 11, 0), leg(1, 10, 1)];
    let legs: Vec<&AccountLeg> = legs.iter().collect();
    let decision = decide_debits(&legs, &payers);
    assert_eq!(decision.refusals, [Some(Reason::InsufficientFunds), None]);
    assert_eq!(decision.held, BTreeMap::from([(legs[0].account, 10)]));
}

proptest! {
    #[test]
    fn a_batch_decides_as_its_orders_one_by_one(
        balances in proptest::collection::vec(0_i64..50, 3),
        orders in proptest::collection::vec((0_u8..4, 1_i64..30, 0_u32..20), 0..40),
    ) {
        let mut payers: HashMap<AccountId, AccountState> = (0_u8..)
            .zip(balances)
            .map(|(name, balance)| (AccountId::from_bytes([name; 16]), account(balance)))
            .collect();
        let legs: Vec<AccountLeg> = orders.iter().map(|(a, amount, at)| leg(*a, *amount, *at)).collect();
        let batch: Vec<&AccountLeg> = legs.iter().collect();
        let decision = decide_debits(&batch, &payers);

        let mut in_log_order: Vec<usize> = (0..legs.len()).collect();
        in_log_order.sort_by_key(|place| (legs[*place].arrival, *place));
        for place in in_log_order {
            let alone = decide_debits(&[&legs[place]], &payers);
            prop_assert_eq!(alone.refusals[0], decision.refusals[place]);
            for (id, held) in alone.held {
                payers.get_mut(&id).unwrap().held += held;
            }
        }
        for (id, state) in &payers {
            prop_assert_eq!(state.held, decision.held.get(id).copied().unwrap_or(0));
            prop_assert!(state.held <= state.ledger_balance);
        }
    }
}
