//! What a try answers, and that it answers the same each time.

use crate::support::{BACK_OFFICE, customer, fresh, with_stores};
use domain::{AccountId, AccountKind, LegKind, Reason};
use saga::TryOutcome::{CancelledBefore, Mismatch, Refused, Reserved};
use store::NewAccount;

fn refused(reason: Reason) -> saga::TryOutcome {
    Refused(saga::Reason(reason.into()))
}

#[tokio::test]
async fn a_debit_reserves_and_a_credit_leaves_no_row() {
    with_stores(async |own| {
        let (payer, payee) = (own.account(100).await, own.account(0).await);
        let xid = fresh();
        let branches = [
            own.branch(xid, 0, LegKind::Debit, payer, 60),
            own.branch(xid, 1, LegKind::Credit, payee, 60),
        ];
        assert_eq!(own.try_all(&branches).await, [Reserved, Reserved]);
        assert_eq!(own.money(payer).await, (100, 60, 1));
        assert_eq!(own.money(payee).await, (0, 0, 0));
        assert_eq!(own.holds(payer, xid).await, [(0, 1)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_held_is_not_available() {
    with_stores(async |own| {
        let payer = own.account(100).await;
        own.try_all(&[own.debit(payer, 60)]).await;
        let account = own.accounts.find(BACK_OFFICE, payer).await.unwrap();
        assert_eq!(account.unwrap().available_balance(), 40);
    })
    .await;
}

#[tokio::test]
async fn each_reason_is_told() {
    with_stores(async |own| {
        let poor = own.account(10).await;
        let closed = own.account(10).await;
        own.accounts.close(BACK_OFFICE, closed).await.unwrap();
        let euro = account_like(&own, |new| new.currency = "EUR".parse().unwrap()).await;
        let foreign = account_like(&own, |new| new.tenant = "other".into()).await;
        let rival = account_like(&own, |new| {
            new.kind = AccountKind::Merchant;
            new.merchant = Some("rival".into());
        })
        .await;
        let missing = AccountId::from_bytes([0; 16]);
        for (account, amount, debit, credit) in [
            (poor, 11, refused(Reason::InsufficientFunds), Reserved),
            (
                closed,
                1,
                refused(Reason::AccountClosed),
                refused(Reason::AccountClosed),
            ),
            (
                euro,
                1,
                refused(Reason::CurrencyMismatch),
                refused(Reason::CurrencyMismatch),
            ),
            (
                foreign,
                1,
                refused(Reason::AccountNotFound),
                refused(Reason::AccountNotFound),
            ),
            (rival, 1, refused(Reason::AccountNotFound), Reserved),
            (
                missing,
                1,
                refused(Reason::AccountNotFound),
                refused(Reason::AccountNotFound),
            ),
        ] {
            assert_eq!(own.try_all(&[own.debit(account, amount)]).await, [debit]);
            assert_eq!(own.try_all(&[own.credit(account, amount)]).await, [credit]);
        }
        assert_eq!(own.money(poor).await, (10, 0, 1));
    })
    .await;
}

async fn account_like(own: &crate::support::Own, change: fn(&mut NewAccount)) -> AccountId {
    let id = AccountId::from_bytes(fresh());
    let mut new = customer(id);
    change(&mut new);
    own.open(new).await;
    id
}

#[tokio::test]
async fn a_repeated_try_reserves_once() {
    with_stores(async |own| {
        let payer = own.account(100).await;
        let branch = own.debit(payer, 60);
        for _ in 0..3 {
            assert_eq!(own.try_all(std::slice::from_ref(&branch)).await, [Reserved]);
        }
        assert_eq!(own.money(payer).await, (100, 60, 1));
    })
    .await;
}

#[tokio::test]
async fn a_try_after_its_confirm_answers_as_the_first_one_did() {
    with_stores(async |own| {
        let payer = own.account(100).await;
        let branch = [own.debit(payer, 60)];
        assert_eq!(own.try_all(&branch).await, [Reserved]);
        own.confirm_all(&branch).await;
        assert_eq!(own.try_all(&branch).await, [Reserved]);
        assert_eq!(own.money(payer).await, (40, 0, 2));
    })
    .await;
}

#[tokio::test]
async fn an_order_refused_for_lack_of_funds_stays_refused_when_funded_later() {
    with_stores(async |own| {
        let payer = own.account(10).await;
        let branch = own.debit(payer, 60);
        let no = [refused(Reason::InsufficientFunds)];
        assert_eq!(own.try_all(std::slice::from_ref(&branch)).await, no);
        own.fund(payer, 1_000).await;
        assert_eq!(own.try_all(std::slice::from_ref(&branch)).await, no);
        assert_eq!(own.money(payer).await, (1_010, 0, 2));
    })
    .await;
}

#[tokio::test]
async fn a_try_after_a_cancel_is_refused_for_ever() {
    with_stores(async |own| {
        let payer = own.account(100).await;
        let branch = [own.debit(payer, 60)];
        own.cancel_all(&branch).await;
        assert_eq!(own.holds(payer, branch[0].xid.0).await, [(0, 5)]);
        for _ in 0..2 {
            assert_eq!(own.try_all(&branch).await, [CancelledBefore]);
        }
        assert_eq!(own.money(payer).await, (100, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_try_with_another_amount_is_a_mismatch_and_the_first_one_stands() {
    with_stores(async |own| {
        let (payer, other) = (own.account(100).await, own.account(100).await);
        let first = own.debit(payer, 60);
        own.try_all(std::slice::from_ref(&first)).await;
        for second in [
            own.branch(first.xid.0, 0, LegKind::Debit, payer, 61),
            own.branch(first.xid.0, 0, LegKind::Debit, other, 60),
        ] {
            let outcomes = own.try_all(&[second]).await;
            assert!(matches!(outcomes[..], [Mismatch(_)]), "{outcomes:?}");
        }
        assert_eq!(own.money(payer).await, (100, 60, 1));
        assert_eq!(own.money(other).await, (100, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn old_and_new_branches_of_one_set_are_told_apart() {
    with_stores(async |own| {
        let payer = own.account(100).await;
        let mut set: Vec<_> = (0..4).map(|_| own.debit(payer, 40)).collect();
        set.sort_by_key(|branch| branch.xid);
        assert_eq!(own.try_all(&set[1..2]).await, [Reserved]);
        own.cancel_all(&set[2..3]).await;
        let outcomes = own.try_all(&set).await;
        let no = refused(Reason::InsufficientFunds);
        assert_eq!(outcomes, [Reserved, Reserved, CancelledBefore, no]);
        assert_eq!(own.money(payer).await, (100, 80, 1));
    })
    .await;
}

#[tokio::test]
async fn a_credit_confirmed_before_stays_reserved_on_a_closed_account() {
    with_stores(async |own| {
        let payee = own.account(0).await;
        let branch = [own.credit(payee, 60)];
        own.try_all(&branch).await;
        own.confirm_all(&branch).await;
        own.accounts.close(BACK_OFFICE, payee).await.unwrap();
        assert_eq!(own.try_all(&branch).await, [Reserved]);
        assert_eq!(
            own.try_all(&[own.credit(payee, 60)]).await,
            [refused(Reason::AccountClosed)]
        );
    })
    .await;
}
