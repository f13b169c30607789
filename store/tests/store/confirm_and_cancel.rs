//! Holds become entries or are released, once, whatever is delivered again.

use crate::support::{BACK_OFFICE, Own, fresh, with_stores};
use domain::{AccountId, LegKind};
use saga::FinishOutcome::{Breach, Done};
use saga::{Branch, FinishOutcome, Participant, Pass, SqlFault};
use store::{AccountLeg, AccountParticipant};

async fn tried(own: &Own, count: usize) -> (Vec<Branch<AccountLeg>>, [AccountId; 2]) {
    let (payer, payee) = (own.account(10_000).await, own.account(0).await);
    let mut branches = Vec::new();
    for _ in 0..count {
        let xid = fresh();
        branches.push(own.branch(xid, 0, LegKind::Debit, payer, 10));
        branches.push(own.branch(xid, 1, LegKind::Credit, payee, 10));
    }
    branches.sort_by_key(|branch| (branch.xid, branch.number));
    own.try_all(&branches).await;
    (branches, [payer, payee])
}

fn all_done(outcomes: &[FinishOutcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Done)
}

#[tokio::test]
async fn a_confirm_moves_the_money_once() {
    with_stores(async |own| {
        let (branches, [payer, payee]) = tried(&own, 3).await;
        for _ in 0..3 {
            assert!(all_done(&own.confirm_all(&branches).await));
            assert_eq!(own.money(payer).await, (9_970, 0, 4));
            assert_eq!(own.money(payee).await, (30, 0, 3));
        }
    })
    .await;
}

#[tokio::test]
async fn a_set_of_which_some_is_confirmed_books_exactly_the_rest() {
    with_stores(async |own| {
        let (branches, [payer, payee]) = tried(&own, 4).await;
        // A debit alone, a credit alone, and both of one order.
        own.confirm_all(&branches[0..1]).await;
        own.confirm_all(&branches[3..4]).await;
        own.confirm_all(&branches[4..6]).await;
        assert!(all_done(&own.confirm_all(&branches).await));
        assert_eq!(own.money(payer).await, (9_960, 0, 5));
        assert_eq!(own.money(payee).await, (40, 0, 4));
    })
    .await;
}

#[tokio::test]
async fn a_credit_lands_on_an_account_closed_since() {
    with_stores(async |own| {
        let (branches, [_, payee]) = tried(&own, 1).await;
        own.accounts.close(BACK_OFFICE, payee).await.unwrap();
        assert!(all_done(&own.confirm_all(&branches).await));
        assert_eq!(own.money(payee).await, (10, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_cancel_releases_once_and_nothing_is_booked() {
    with_stores(async |own| {
        let (branches, [payer, payee]) = tried(&own, 3).await;
        for _ in 0..3 {
            assert!(all_done(&own.cancel_all(&branches).await));
            assert_eq!(own.money(payer).await, (10_000, 0, 1));
            assert_eq!(own.money(payee).await, (0, 0, 0));
        }
        assert_eq!(own.holds(payer, branches[0].xid.0).await, [(0, 4)]);
    })
    .await;
}

#[tokio::test]
async fn a_cancel_before_its_try_leaves_a_tombstone_of_no_money() {
    with_stores(async |own| {
        let payer = own.account(100).await;
        let debit = own.debit(payer, 60);
        own.cancel_all(std::slice::from_ref(&debit)).await;
        let tombstone: (u8, i64) = sqlx::query_as("SELECT state, amount FROM holds WHERE xid = ?")
            .bind(&debit.xid.0[..])
            .fetch_one(own.pool_of(payer))
            .await
            .unwrap();
        assert_eq!(tombstone, (5, 0));
        assert_eq!(own.money(payer).await, (100, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn what_may_never_meet_is_a_breach_and_changes_nothing() {
    with_stores(async |own| {
        let (branches, [payer, payee]) = tried(&own, 3).await;
        own.cancel_all(&branches[0..2]).await;
        own.confirm_all(&branches[2..4]).await;
        let money = (own.money(payer).await, own.money(payee).await);

        let after_cancel = own.confirm_all(&branches[0..1]).await;
        assert!(matches!(after_cancel[..], [Breach(_)]), "{after_cancel:?}");
        let after_confirm = own.cancel_all(&branches[2..4]).await;
        assert!(
            matches!(after_confirm[..], [Breach(_), Breach(_)]),
            "{after_confirm:?}"
        );
        let never_tried = own.confirm_all(&[own.debit(payer, 5)]).await;
        assert!(matches!(never_tried[..], [Breach(_)]), "{never_tried:?}");
        let refused = [own.debit(payer, 1_000_000)];
        own.try_all(&refused).await;
        let refused = own.confirm_all(&refused).await;
        assert!(matches!(refused[..], [Breach(_)]), "{refused:?}");
        let nobody = own
            .confirm_all(&[own.credit(AccountId::from_bytes([0; 16]), 5)])
            .await;
        assert!(matches!(nobody[..], [Breach(_)]), "{nobody:?}");

        assert_eq!((own.money(payer).await, own.money(payee).await), money);
    })
    .await;
}

#[tokio::test]
async fn a_hold_is_captured_only_by_the_account_and_the_amount_that_made_it() {
    with_stores(async |own| {
        let (payer, other) = (own.account(100).await, own.account(100).await);
        let held = own.debit(payer, 60);
        own.try_all(std::slice::from_ref(&held)).await;
        for (account, amount) in [(payer, 61), (other, 60)] {
            let another = own.branch(held.xid.0, held.number, LegKind::Debit, account, amount);
            let outcomes = own.confirm_all(&[another]).await;
            assert!(matches!(outcomes[..], [Breach(_)]), "{outcomes:?}");
        }
        assert_eq!(own.money(payer).await, (100, 60, 1));
        assert_eq!(own.money(other).await, (100, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_credit_booked_before_with_another_account_or_amount_is_a_breach() {
    with_stores(async |own| {
        let (payee, other) = (own.account(0).await, own.account(0).await);
        let first = own.credit(payee, 10);
        own.confirm_all(std::slice::from_ref(&first)).await;
        for (account, amount) in [(payee, 11), (other, 10)] {
            let second = own.branch(first.xid.0, first.number, LegKind::Credit, account, amount);
            let outcomes = own.confirm_all(&[second]).await;
            assert!(matches!(outcomes[..], [Breach(_)]), "{outcomes:?}");
        }
        assert_eq!(own.money(payee).await, (10, 0, 1));
        assert_eq!(own.money(other).await, (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_first_pass_that_cannot_book_all_tells_how_many_it_could() {
    with_stores(async |own| {
        let payee = own.account(0).await;
        let nobody = AccountId::from_bytes([0; 16]);
        let branches = [payee, payee, nobody].map(|account| own.credit(account, 5));
        let mut tx = own.pool_of(payee).begin().await.unwrap();
        let confirmed = AccountParticipant.confirm(&mut tx, &branches, Pass::First);
        let confirmed = confirmed.await;
        let told = matches!(
            confirmed,
            Err(SqlFault::Partial {
                changed: 2,
                asked: 3
            })
        );
        assert!(told, "{confirmed:?}");
        tx.rollback().await.unwrap();
        assert_eq!(own.money(payee).await, (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_breach_in_a_set_does_not_hold_up_the_others() {
    with_stores(async |own| {
        let (mut branches, [payer, payee]) = tried(&own, 3).await;
        let untried = own.debit(payer, 5);
        branches.push(untried.clone());
        branches.sort_by_key(|branch| (branch.xid, branch.number));
        let outcomes = own.confirm_all(&branches).await;
        for (branch, outcome) in branches.iter().zip(outcomes) {
            assert_eq!(outcome == Done, branch.xid != untried.xid);
        }
        assert_eq!(own.money(payer).await, (9_970, 0, 4));
        assert_eq!(own.money(payee).await, (30, 0, 3));
    })
    .await;
}

#[tokio::test]
async fn a_cancel_of_refused_holds_is_done() {
    with_stores(async |own| {
        let payer = own.account(1).await;
        let branch = [own.debit(payer, 5)];
        own.try_all(&branch).await;
        assert_eq!(own.cancel_all(&branch).await, [Done]);
        assert_eq!(own.holds(payer, branch[0].xid.0).await, [(0, 2)]);
    })
    .await;
}
