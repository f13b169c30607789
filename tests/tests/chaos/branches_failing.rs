//! Scenarios 14 and 15: a confirm or a cancel that fails for long.

use crate::alarms::Alarms;
use crate::obstacle::{Forbidden, RowLock, Rule};
use crate::scenario::{BOUND, Scenario, cancelled, coordinator_settings, paid, scenario};
use domain::{AccountId, OrderState, Reason};
use saga::Answer;
use std::time::{Duration, Instant};
use store::{OpenPlace, OrderRow, PaymentOrder};
use tokio_util::sync::CancellationToken;

/// How long something is in the way: much longer than the longest backoff.
const FOR_LONG: Duration = Duration::from_secs(4);
/// What the others may take, on a busy machine.
const UNHINDERED: Duration = Duration::from_secs(3);

/// One payer whose rows are in the way of his order, and others who share his shard and the payee's.
struct Crowd {
    unlucky: AccountId,
    others: Vec<AccountId>,
    payee: AccountId,
}

impl Crowd {
    async fn gather(s: &Scenario) -> Self {
        let shard = s.below(2) as u16;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(s.account(shard, 10_000).await);
        }
        Self {
            unlucky: s.account(shard, 100).await,
            others,
            payee: s.account(1 - shard, 0).await,
        }
    }

    fn orders(&self, s: &Scenario) -> Vec<PaymentOrder> {
        let order = |payer: &AccountId| s.order(*payer, self.payee, 10);
        self.others.iter().cycle().take(12).map(order).collect()
    }
}

/// For as long as the obstacle stands the order is swept, and the others are paid at once.
async fn others_are_unhindered(s: &Scenario, crowd: &Crowd) {
    let (since, enough) = (Instant::now(), CancellationToken::new());
    let sweeping = s.sweeper().run(enough.clone());
    let paying = async {
        while since.elapsed() < FOR_LONG {
            let begun = Instant::now();
            let answers = s.run(&crowd.orders(s)).await;
            assert!(
                answers.iter().all(|answer| *answer == paid()),
                "{answers:?}"
            );
            assert!(begun.elapsed() < UNHINDERED, "{:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        enough.cancel();
    };
    tokio::join!(sweeping, paying);
}

/// It was tried again and again, more and more slowly, and says so.
async fn assert_backed_off_and_visible(
    s: &Scenario,
    order: &PaymentOrder,
    alarms: &Alarms,
    cause: &str,
) -> OrderRow {
    let row = s.row(order).await.unwrap();
    let settings = coordinator_settings();
    // Never sooner than half the backoff.
    let slow_ms: u64 = (0..6)
        .map(|n| (settings.backoff_first_ms << n).min(settings.backoff_max_ms) / 2)
        .sum();
    let rest_ms = FOR_LONG.as_millis() as u64 + 2_000 - slow_ms;
    let most = 6 + rest_ms / (settings.backoff_max_ms / 2);
    let attempts = u64::from(row.attempts);
    assert!(
        u64::from(settings.stuck_after_attempts) < attempts + 1,
        "{row:?}"
    );
    assert!(
        attempts < most,
        "{attempts} attempts are no backoff, {most} were the most"
    );
    let kept = row.last_cause.as_deref().unwrap_or_default();
    assert!(kept.contains(cause), "{kept}");
    let stuck = alarms.with(&[
        "is stuck",
        &format!("{:032x}", u128::from_be_bytes(*order.id.as_bytes())),
    ]);
    assert_eq!(stuck.len(), 1, "said once: {stuck:?}");
    row
}

/// Puts the order off by an hour, as a long backoff would, finds it as `holdfast stuck` does, and
/// makes it due as `holdfast redrive` does.
async fn assert_redriven(s: &Scenario, order: &PaymentOrder) {
    let later =
        "UPDATE orders SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE id = ?";
    sqlx::query(later)
        .bind(&order.id.as_bytes()[..])
        .execute(s.pool_of(order))
        .await
        .unwrap();
    assert_eq!(s.sweeper().sweep_once().await.claimed, 0);
    let shard = s.own.routing().order_shard(order.id);
    let mut open = s
        .own
        .orders
        .open_orders(shard, OpenPlace::START)
        .await
        .unwrap();
    let found = open.next_page(10).await.unwrap();
    assert_eq!(
        found.iter().map(|open| open.id).collect::<Vec<_>>(),
        [order.id]
    );
    drop(open);
    let redriven = s.own.orders.make_due(shard, &[order.id]).await;
    assert_eq!(redriven.unwrap(), 1);
    let report = s.sweeper().sweep_once().await;
    assert_eq!((report.claimed, report.ended), (1, 1));
}

/// A batch with the unlucky one somewhere in it: he waits, the others are answered as expected.
async fn run_with(s: &Scenario, mut batch: Vec<PaymentOrder>, unlucky: &PaymentOrder) {
    let place = s.below(batch.len());
    batch.insert(place, unlucky.clone());
    let mut answers = s.run(&batch).await;
    let his = answers.remove(place);
    assert!(matches!(his, Answer::Waiting { .. }), "{his:?}");
    assert!(
        answers.iter().all(|answer| *answer == paid()),
        "{answers:?}"
    );
}

/// 14, the database refuses the statement.
#[tokio::test]
async fn a_confirm_that_is_refused_for_long_is_stuck_visible_and_redriven() {
    scenario(async |s| {
        let alarms = Alarms::listen();
        let crowd = Crowd::gather(&s).await;
        let rule = Rule::against(&s, Forbidden::Entry, crowd.unlucky).await;
        let unlucky = s.order(crowd.unlucky, crowd.payee, 60);
        run_with(&s, crowd.orders(&s), &unlucky).await;
        others_are_unhindered(&s, &crowd).await;
        let row = assert_backed_off_and_visible(&s, &unlucky, &alarms, Rule::TEXT).await;
        assert_eq!(row.state, OrderState::Confirming);
        assert_eq!(s.money(crowd.unlucky).await, (100, 60), "still held");
        rule.lift().await;
        assert_redriven(&s, &unlucky).await;
        assert_eq!(s.money(crowd.unlucky).await, (40, 0));
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 14, the account's row is locked by somebody who does not go.
#[tokio::test]
async fn a_confirm_that_waits_for_a_lock_for_long_does_not_hinder_the_others() {
    scenario(async |s| {
        let crowd = Crowd::gather(&s).await;
        let unlucky = s.order(crowd.unlucky, crowd.payee, 60);
        s.begin(std::slice::from_ref(&unlucky)).await;
        s.try_debits(std::slice::from_ref(&unlucky)).await;
        let obstacle = RowLock::on(&s, crowd.unlucky).await;
        run_with(&s, crowd.orders(&s), &unlucky).await;
        others_are_unhindered(&s, &crowd).await;
        let row = s.row(&unlucky).await.unwrap();
        assert_eq!(row.state, OrderState::Confirming);
        obstacle.release().await;
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(crowd.unlucky).await, (40, 0));
    })
    .await;
}

/// 15, the database refuses the statement.
#[tokio::test]
async fn while_a_cancel_is_refused_for_long_the_funds_stay_held_and_are_released_then() {
    scenario(async |s| {
        let alarms = Alarms::listen();
        let crowd = Crowd::gather(&s).await;
        let closed = s.closed_account(s.below(2) as u16).await;
        let rule = Rule::against(&s, Forbidden::Release, crowd.unlucky).await;
        let unlucky = s.order(crowd.unlucky, closed, 60);
        run_with(&s, crowd.orders(&s), &unlucky).await;
        others_are_unhindered(&s, &crowd).await;
        let row = assert_backed_off_and_visible(&s, &unlucky, &alarms, Rule::TEXT).await;
        assert_eq!(
            (row.state, row.reason),
            (OrderState::Cancelling, Some(Reason::AccountClosed))
        );
        // What is held cannot be spent; what is not, can.
        let (too_much, enough) = (
            s.order(crowd.unlucky, crowd.payee, 41),
            s.order(crowd.unlucky, crowd.payee, 40),
        );
        // The refused one of them has nothing to release.
        let answers = s.run(&[too_much, enough]).await;
        assert_eq!(answers, [cancelled(Reason::InsufficientFunds), paid()]);
        assert_eq!(s.money(crowd.unlucky).await, (60, 60));
        rule.lift().await;
        assert_redriven(&s, &unlucky).await;
        assert_eq!(s.money(crowd.unlucky).await, (60, 0));
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 15, the account's row is locked by somebody who does not go.
#[tokio::test]
async fn while_a_cancel_waits_for_a_lock_for_long_the_funds_stay_held() {
    scenario(async |s| {
        let crowd = Crowd::gather(&s).await;
        let closed = s.closed_account(s.below(2) as u16).await;
        let unlucky = s.order(crowd.unlucky, closed, 60);
        s.begin(std::slice::from_ref(&unlucky)).await;
        s.try_debits(std::slice::from_ref(&unlucky)).await;
        let obstacle = RowLock::on(&s, crowd.unlucky).await;
        run_with(&s, crowd.orders(&s), &unlucky).await;
        others_are_unhindered(&s, &crowd).await;
        assert_eq!(s.money(crowd.unlucky).await, (100, 60));
        assert_eq!(s.state(&unlucky).await, Some(OrderState::Cancelling));
        obstacle.release().await;
        s.assert_swept_and_right(BOUND).await;
        assert_eq!(s.money(crowd.unlucky).await, (100, 0));
    })
    .await;
}
