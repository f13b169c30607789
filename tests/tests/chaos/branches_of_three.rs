//! Scenario 11: three branches on two shards, of which one fails.

use crate::obstacle::{Forbidden, Rule};
use crate::scenario::{BOUND, cancelled, paid, scenario};
use domain::{OrderState, Reason};
use saga::Answer;

/// 11, at the try.
#[tokio::test]
async fn of_three_branches_whichever_refuses_nothing_is_held_or_moved() {
    scenario(async |s| {
        let (rich, richer) = (s.account(0, 100).await, s.account(1, 200).await);
        let poor = [s.account(0, 5).await, s.account(1, 5).await];
        let payee = s.account(s.below(2) as u16, 0).await;
        let closed = s.closed_account(s.below(2) as u16).await;
        let refused = [
            (
                s.split_order([(poor[0], 60), (richer, 40)], payee),
                Reason::InsufficientFunds,
            ),
            (
                s.split_order([(rich, 60), (poor[1], 40)], payee),
                Reason::InsufficientFunds,
            ),
            (
                s.split_order([(rich, 60), (richer, 40)], closed),
                Reason::AccountClosed,
            ),
        ];
        for (order, reason) in refused {
            assert_eq!(s.run(&[order]).await, [cancelled(reason)]);
            assert_eq!(s.money(rich).await, (100, 0));
            assert_eq!(s.money(richer).await, (200, 0));
        }
        let good = s.split_order([(rich, 60), (richer, 40)], payee);
        assert_eq!(s.run(&[good]).await, [paid()]);
        assert_eq!(s.money(payee).await, (100, 0));
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}

/// 11, at the confirm: what was decided is finished, whichever branch fails for a while.
#[tokio::test]
async fn of_three_branches_whichever_confirm_fails_the_order_waits_and_is_paid() {
    scenario(async |s| {
        let payers = [s.account(0, 300).await, s.account(1, 300).await];
        let payee = s.account(s.below(2) as u16, 0).await;
        for failing in [payers[0], payers[1], payee] {
            let rule = Rule::against(&s, Forbidden::Entry, failing).await;
            let order = s.split_order([(payers[0], 60), (payers[1], 40)], payee);
            let answers = s.run(std::slice::from_ref(&order)).await;
            assert!(
                matches!(answers[..], [Answer::Waiting { .. }]),
                "{answers:?}"
            );
            assert_eq!(s.state(&order).await, Some(OrderState::Confirming));
            rule.lift().await;
            assert_eq!(s.run(&[order]).await, [paid()]);
        }
        assert_eq!(s.money(payers[0]).await, (120, 0));
        assert_eq!(s.money(payers[1]).await, (180, 0));
        assert_eq!(s.money(payee).await, (300, 0));
        s.assert_swept_and_right(BOUND).await;
    })
    .await;
}
