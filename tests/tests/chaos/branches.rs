//! Scenarios 1 to 8: what may meet on one branch, and never harms.

use crate::alarms::Alarms;
use crate::invariants::rows;
use crate::scenario::{BOUND, Scenario, cancelled, engine_reason, paid, scenario};
use domain::{AccountId, BodyDigest, Reason};
use futures_util::StreamExt;
use saga::{Answer, FinishOutcome, State, TryOutcome, Verdict};
use std::time::Duration;
use store::PaymentOrder;

const CANCELLED: u8 = 4;
const TOMBSTONE: u8 = 5;

const EXPIRED: Reason = Reason::Expired;

/// A payer with this much on the one shard, a payee on the other.
async fn two_accounts(s: &Scenario, money: i64) -> (AccountId, AccountId) {
    let payers_shard = s.below(2) as u16;
    let payer = s.account(payers_shard, money).await;
    (payer, s.account(1 - payers_shard, 0).await)
}

/// Orders that were logged, and cancelled by their deadline before anything was tried.
async fn cancelled_untried(
    s: &Scenario,
    payer: AccountId,
    payee: AccountId,
    count: usize,
) -> Vec<PaymentOrder> {
    let orders: Vec<_> = (0..count).map(|_| s.order(payer, payee, 10)).collect();
    s.begin(&orders).await;
    s.decide_all(&orders, Verdict::Cancel(engine_reason(EXPIRED)))
        .await;
    orders
}

/// 1.
#[tokio::test]
async fn a_cancel_before_the_try_leaves_a_tombstone_and_no_hold() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 100).await;
        let [order] = &cancelled_untried(&s, payer, payee, 1).await[..] else {
            unreachable!()
        };
        let done = s.own.cancel_all(&s.debit(order)).await;
        assert_eq!(done, [FinishOutcome::Done]);
        assert_eq!(s.hold(order).await, Some(TOMBSTONE));
        assert_eq!(s.money(payer).await, (100, 0));
        let answers = s.run(std::slice::from_ref(order)).await;
        assert_eq!(answers, [cancelled(EXPIRED)]);
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(payer).await, (100, 0));
    })
    .await;
}

/// 2.
#[tokio::test]
async fn a_try_after_its_cancel_is_refused_each_time_it_comes() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 100).await;
        let orders = cancelled_untried(&s, payer, payee, 5).await;
        for order in &orders {
            s.own.cancel_all(&s.debit(order)).await;
        }
        for _ in 0..4 {
            for order in &orders {
                let tried = s.own.try_all(&s.debit(order)).await;
                assert_eq!(tried, [TryOutcome::CancelledBefore]);
                assert_eq!(s.hold(order).await, Some(TOMBSTONE));
            }
            let answers = s.run(&orders).await;
            assert_eq!(answers, vec![cancelled(EXPIRED); 5]);
            assert_eq!(s.money(payer).await, (100, 0));
        }
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_and_a_cancel_at_the_same_instant_have_one_of_two_ends_500_times() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 10_000).await;
        let orders = cancelled_untried(&s, payer, payee, 500).await;
        let races = orders.into_iter().map(|order| {
            let waits = [s.millis_below(4.0), s.millis_below(4.0)];
            race(&s, order, waits)
        });
        let ends: Vec<usize> = futures_util::stream::iter(races)
            .buffer_unordered(4)
            .collect()
            .await;
        let tries_first: usize = ends.iter().sum();
        println!("the try came first in {tries_first} of {}", ends.len());
        assert!((1..500).contains(&tries_first), "nothing raced");
        assert_eq!(s.money(payer).await, (10_000, 0));
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// Whether the try came first.
async fn race(s: &Scenario, order: PaymentOrder, waits: [Duration; 2]) -> usize {
    let set = s.debit(&order);
    let late_try = async {
        tokio::time::sleep(waits[0]).await;
        s.own.try_all(&set).await
    };
    let cancel = async {
        tokio::time::sleep(waits[1]).await;
        s.own.cancel_all(&set).await
    };
    let (tried, done) = tokio::join!(late_try, cancel);
    assert_eq!(done, [FinishOutcome::Done]);
    match (&tried[0], s.hold(&order).await) {
        (TryOutcome::Reserved, Some(CANCELLED)) => 1,
        (TryOutcome::CancelledBefore, Some(TOMBSTONE)) => 0,
        other => panic!("{}: {other:?}", order.id),
    }
}

/// 4.
#[tokio::test]
async fn the_same_try_with_another_amount_is_an_error_and_the_first_stands() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 100).await;
        let order = s.order(payer, payee, 60);
        s.begin(std::slice::from_ref(&order)).await;
        let first = s.debit(&order);
        assert_eq!(s.own.try_all(&first).await, [TryOutcome::Reserved]);
        let mut other = first.clone();
        other[0].payload.amount = 61;
        for _ in 0..3 {
            let tried = s.own.try_all(&other).await;
            assert!(matches!(tried[..], [TryOutcome::Mismatch(_)]), "{tried:?}");
            let confirmed = s.own.confirm_all(&other).await;
            assert!(
                matches!(confirmed[..], [FinishOutcome::Breach(_)]),
                "{confirmed:?}"
            );
        }
        assert_eq!(s.money(payer).await, (100, 60));
        // The whole order with another amount under its id: dead, in one batch and in the next.
        let altered = PaymentOrder {
            amount: 61,
            body_digest: BodyDigest::of_parts([&b"61"[..]]),
            ..order.clone()
        };
        for batch in [vec![order.clone(), altered.clone()], vec![altered]] {
            let answers = s.run(&batch).await;
            assert!(
                matches!(answers.last(), Some(Answer::Dead { .. })),
                "{answers:?}"
            );
        }
        assert_eq!(s.money(payer).await, (40, 0));
        assert_eq!(s.money(payee).await, (60, 0));
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_that_confirm_at_once_move_the_money_once() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 10_000).await;
        let (rounds, each) = (20, 1 + s.below(8));
        for round in 1..=rounds {
            let orders: Vec<_> = (0..each).map(|_| s.order(payer, payee, 10)).collect();
            s.begin(&orders).await;
            s.try_debits(&orders).await;
            s.decide_all(&orders, Verdict::Confirm).await;
            let (one, two) = (s.worker(), s.worker());
            let pause = s.millis_below(3.0);
            let second = async {
                tokio::time::sleep(pause).await;
                two.run(orders.clone()).await
            };
            let answers = tokio::join!(one.run(orders.clone()), second);
            assert_eq!(answers, (vec![paid(); each], vec![paid(); each]));
            let moved = (round * each * 10) as i64;
            assert_eq!(s.money(payer).await, (10_000 - moved, 0));
            assert_eq!(s.money(payee).await, (moved, 0));
        }
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cancels_of_a_missing_row_at_once_leave_one_tombstone() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 100).await;
        let orders = cancelled_untried(&s, payer, payee, 100).await;
        for order in &orders {
            let set = s.debit(order);
            let both = tokio::join!(s.own.cancel_all(&set), s.own.cancel_all(&set));
            assert_eq!(both, (vec![FinishOutcome::Done], vec![FinishOutcome::Done]));
            assert_eq!(s.hold(order).await, Some(TOMBSTONE));
        }
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(payer).await, (100, 0));
    })
    .await;
}

/// 7.
#[tokio::test]
async fn a_confirm_without_a_try_is_refused_with_an_alarm_and_debits_nothing() {
    scenario(async |s| {
        let alarms = Alarms::listen();
        let (payer, payee) = two_accounts(&s, 100).await;
        let order = s.order(payer, payee, 60);
        s.begin(std::slice::from_ref(&order)).await;
        // Nothing in the product decides so; a person with a client of the database might.
        assert_eq!(s.decide(&order, Verdict::Confirm).await, State::Confirming);
        for _ in 0..3 {
            let answers = s.run(std::slice::from_ref(&order)).await;
            assert!(
                matches!(answers[..], [Answer::Waiting { .. }]),
                "{answers:?}"
            );
            assert_eq!(
                (s.hold(&order).await, s.money(payer).await),
                (None, (100, 0))
            );
        }
        let raised = alarms.with(&["needs a person", "branch_breach", "confirm without a try"]);
        assert_eq!(raised.len(), 3, "once for each delivery: {raised:?}");
        // What the person does about it: reserve what was decided to be paid.
        assert_eq!(
            s.own.try_all(&s.debit(&order)).await,
            [TryOutcome::Reserved]
        );
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(payer).await, (40, 0));
        assert_eq!(s.money(payee).await, (60, 0));
    })
    .await;
}

/// 8.
#[tokio::test]
async fn a_confirm_after_a_cancel_and_a_cancel_after_a_confirm_change_nothing() {
    scenario(async |s| {
        let (payer, payee) = two_accounts(&s, 100).await;
        let closed = s.closed_account(s.below(2) as u16).await;
        let (good, bad) = (s.order(payer, payee, 60), s.order(payer, closed, 30));
        let untried = cancelled_untried(&s, payer, payee, 1).await.remove(0);
        let answers = s.run(&[good.clone(), bad.clone(), untried.clone()]).await;
        let refused = cancelled(Reason::AccountClosed);
        assert_eq!(answers, [paid(), refused, cancelled(EXPIRED)]);
        let before = rows(&s).await;
        for _ in 0..2 {
            for branch in s.branches(&good) {
                let done = s.own.cancel_all(&[branch]).await;
                assert!(matches!(done[..], [FinishOutcome::Breach(_)]), "{done:?}");
            }
            for order in [&bad, &untried] {
                let done = s.own.confirm_all(&s.debit(order)).await;
                assert!(matches!(done[..], [FinishOutcome::Breach(_)]), "{done:?}");
            }
        }
        assert_eq!(before, rows(&s).await);
        assert_eq!(s.hold(&bad).await, Some(CANCELLED));
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(payer).await, (40, 0));
    })
    .await;
}
