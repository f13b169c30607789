//! Scenarios 9, 10, 12 and 13: several branches, several orders, and deadlines at once.

use crate::obstacle::RowLock;
use crate::scenario::{BOUND, SHORT, cancelled, engine_reason, paid, scenario};
use domain::{OrderState, Reason};
use futures_util::future::join_all;
use saga::{Answer, FinishOutcome, State, TryOutcome, Verdict};
use std::time::Duration;
use store::OrderLogSettings;

const REFUSED: u8 = 2;
const CANCELLED: u8 = 4;

fn deadline_in(millis: u64) -> OrderLogSettings {
    OrderLogSettings {
        decide_within_ms: millis,
        ..SHORT
    }
}

/// 9, the decision alone: two connections, one row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_confirm_and_a_deadline_decided_at_the_same_instant_one_stands() {
    scenario(async |s| {
        let (payer, payee) = (s.account(0, 10_000).await, s.account(1, 0).await);
        let orders: Vec<_> = (0..100).map(|_| s.order(payer, payee, 10)).collect();
        s.begin(&orders).await;
        let mut confirmed = 0;
        s.try_debits(&orders).await;
        for order in &orders {
            let waits = [s.millis_below(2.0), s.millis_below(2.0)];
            let verdicts = [
                Verdict::Confirm,
                Verdict::Cancel(engine_reason(Reason::Expired)),
            ];
            let decided = join_all(
                waits
                    .into_iter()
                    .zip(verdicts)
                    .map(async |(wait, verdict)| {
                        tokio::time::sleep(wait).await;
                        s.decide(order, verdict).await
                    }),
            );
            let [one, two] = decided.await.try_into().unwrap();
            assert_eq!(one, two, "both follow the one row");
            confirmed += i64::from(one == State::Confirming);
        }
        println!("{confirmed} of 100 were confirmed");
        assert!((1..100).contains(&confirmed), "nothing raced");
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(payer).await, (10_000 - 10 * confirmed, 0));
        assert_eq!(s.money(payee).await, (10 * confirmed, 0));
    })
    .await;
}

/// 9, whole workers: a redelivery and a sweeper while the deadline passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_fires_as_a_worker_confirms_is_decided_by_one_row() {
    scenario(async |s| {
        let (payer, payee) = (s.account(0, 10_000).await, s.account(1, 0).await);
        let (worker, sweeper) = (s.worker(), s.sweeper());
        let mut paid_orders = 0;
        for _ in 0..40 {
            let order = s.order(payer, payee, 10);
            let deadline = deadline_in(5 + s.below(40) as u64);
            s.begin_with(deadline, std::slice::from_ref(&order)).await;
            s.try_debits(std::slice::from_ref(&order)).await;
            let waits = [s.millis_below(30.0), s.millis_below(30.0)];
            let redelivery = async {
                tokio::time::sleep(waits[0]).await;
                worker.run(vec![order.clone()]).await
            };
            let sweep = async {
                tokio::time::sleep(waits[1]).await;
                sweeper.sweep_once().await;
            };
            let (answers, ()) = tokio::join!(redelivery, sweep);
            let told = match &answers[0] {
                answer if *answer == paid() => OrderState::Paid,
                answer if *answer == cancelled(Reason::Expired) => OrderState::Cancelled,
                other => panic!("{}: {other:?}", order.id),
            };
            assert_eq!(s.state(&order).await, Some(told));
            paid_orders += i64::from(told == OrderState::Paid);
        }
        println!("{paid_orders} of 40 were paid");
        assert!((1..40).contains(&paid_orders), "no deadline raced");
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(payer).await, (10_000 - 10 * paid_orders, 0));
    })
    .await;
}

/// 10.
#[tokio::test]
async fn when_the_second_branch_refuses_the_first_is_released() {
    scenario(async |s| {
        let payer = s.account(0, 100).await;
        let closed = s.closed_account(1).await;
        let poor = s.account(1, 5).await;
        let payee = s.account(1, 0).await;
        let to_closed = s.order(payer, closed, 60);
        let with_poor = s.split_order([(payer, 60), (poor, 6)], payee);
        let answers = s.run(&[to_closed.clone(), with_poor]).await;
        let expected = [Reason::AccountClosed, Reason::InsufficientFunds].map(cancelled);
        assert_eq!(answers, expected);
        assert_eq!(s.hold(&to_closed).await, Some(CANCELLED));
        assert_eq!(
            (s.money(payer).await, s.money(poor).await),
            ((100, 0), (5, 0))
        );
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 10, its reply lost: the second reserved, and nobody heard it.
#[tokio::test]
async fn when_the_reply_of_the_second_branch_is_lost_both_are_released() {
    scenario(async |s| {
        let (one, other) = (s.account(0, 100).await, s.account(1, 100).await);
        let order = s.split_order([(one, 60), (other, 40)], s.account(1, 0).await);
        let begun = std::slice::from_ref(&order);
        s.begin_with(deadline_in(300), begun).await;
        s.try_debits(std::slice::from_ref(&order)).await;
        assert_eq!(
            (s.money(one).await, s.money(other).await),
            ((100, 60), (100, 40))
        );
        tokio::time::sleep(Duration::from_millis(310)).await;
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.state(&order).await, Some(OrderState::Cancelled));
        assert_eq!(
            (s.money(one).await, s.money(other).await),
            ((100, 0), (100, 0))
        );
    })
    .await;
}

/// 10, never heard: the second cannot even be asked until the time is up.
#[tokio::test]
async fn when_the_second_branch_cannot_be_asked_in_time_the_first_is_released() {
    scenario(async |s| {
        let (one, other) = (s.account(0, 100).await, s.account(1, 100).await);
        let order = s.split_order([(one, 60), (other, 40)], s.account(1, 0).await);
        let obstacle = RowLock::on(&s, other).await;
        s.begin_with(deadline_in(500), std::slice::from_ref(&order))
            .await;
        let answers = s.run(std::slice::from_ref(&order)).await;
        assert!(
            matches!(answers[..], [Answer::Waiting { .. }]),
            "{answers:?}"
        );
        assert_eq!(s.money(one).await, (100, 60));
        s.assert_progress_by_sweeping(BOUND).await;
        assert_eq!(
            s.money(one).await,
            (100, 0),
            "although the other is still locked"
        );
        obstacle.release().await;
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.state(&order).await, Some(OrderState::Cancelled));
        assert_eq!(s.money(other).await, (100, 0));
    })
    .await;
}

/// 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_six_orders_of_1000_on_5000_at_once_five_are_paid() {
    scenario(async |s| {
        for _ in 0..10 {
            let shard = s.below(2) as u16;
            let (payer, payee) = (s.account(shard, 5_000).await, s.account(1 - shard, 0).await);
            let orders: Vec<_> = (0..6).map(|_| s.order(payer, payee, 1_000)).collect();
            let runs = orders.iter().map(|order| {
                let (worker, wait) = (s.worker(), s.millis_below(2.0));
                let order = order.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    worker.run(vec![order]).await.remove(0)
                })
            });
            let answers: Vec<Answer> = join_all(runs)
                .await
                .into_iter()
                .map(Result::unwrap)
                .collect();
            let count = |wanted: Answer| answers.iter().filter(|answer| **answer == wanted).count();
            let refused = count(cancelled(Reason::InsufficientFunds));
            assert_eq!((count(paid()), refused), (5, 1), "{answers:?}");
            assert_eq!(s.money(payer).await, (0, 0));
            assert_eq!(s.money(payee).await, (5_000, 0));
        }
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 13.
#[tokio::test]
async fn a_refused_hold_can_never_be_confirmed() {
    scenario(async |s| {
        let (payer, payee) = (s.account(0, 10).await, s.account(1, 0).await);
        let order = s.order(payer, payee, 60);
        s.begin(std::slice::from_ref(&order)).await;
        let debit = s.debit(&order);
        for money in [10, 1_010] {
            let tried = s.own.try_all(&debit).await;
            let refused = engine_reason(Reason::InsufficientFunds);
            assert_eq!(tried, [TryOutcome::Refused(refused)]);
            let confirmed = s.own.confirm_all(&debit).await;
            assert!(
                matches!(confirmed[..], [FinishOutcome::Breach(_)]),
                "{confirmed:?}"
            );
            assert_eq!(s.money(payer).await, (money, 0));
            if money == 10 {
                s.own.fund(payer, 1_000).await;
            }
        }
        let answers = s.run(std::slice::from_ref(&order)).await;
        assert_eq!(answers, [cancelled(Reason::InsufficientFunds)]);
        assert_eq!(s.decide(&order, Verdict::Confirm).await, State::Cancelled);
        let confirmed = s.own.confirm_all(&debit).await;
        assert!(
            matches!(confirmed[..], [FinishOutcome::Breach(_)]),
            "{confirmed:?}"
        );
        assert_eq!(s.hold(&order).await, Some(REFUSED));
        assert_eq!(
            (s.money(payer).await, s.money(payee).await),
            ((1_010, 0), (0, 0))
        );
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}
