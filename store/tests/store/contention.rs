//! Many at once on the same rows: the limits hold, nobody deadlocks for good, nothing doubles.

use crate::databases::{Servers, with_stores_on};
use crate::support::{Own, fresh, with_stores};
use domain::{AccountId, LegKind};
use futures_util::future::join_all;
use saga::{Branch, FinishOutcome, TryOutcome};
use std::time::Duration;
use store::{AccountLeg, StoresSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_six_holds_of_1000_on_5000_five_succeed() {
    with_stores(async |own| {
        let payer = own.account(5_000).await;
        let sets: Vec<_> = (0..6).map(|_| [own.debit(payer, 1_000)]).collect();
        let outcomes = join_all(sets.iter().map(|set| own.try_all(set))).await;
        let reserved = outcomes
            .concat()
            .iter()
            .filter(|o| **o == TryOutcome::Reserved)
            .count();
        assert_eq!(reserved, 5);
        assert_eq!(own.money(payer).await, (5_000, 5_000, 1));
    })
    .await;
}

#[tokio::test]
async fn of_six_holds_of_1000_on_5000_in_one_set_five_succeed() {
    with_stores(async |own| {
        let payer = own.account(5_000).await;
        let mut set: Vec<_> = (0..6).map(|_| own.debit(payer, 1_000)).collect();
        set.sort_by_key(|branch| branch.xid);
        let outcomes = own.try_all(&set).await;
        let reserved = outcomes
            .iter()
            .filter(|o| **o == TryOutcome::Reserved)
            .count();
        assert_eq!(reserved, 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_try_and_a_cancel_at_the_same_instant_have_one_of_two_ends() {
    with_stores(async |own| {
        let payer = own.account(1_000).await;
        let races = (0..40).map(async |_| {
            let set = [own.debit(payer, 10)];
            let (tried, cancelled) = tokio::join!(own.try_all(&set), own.cancel_all(&set));
            assert_eq!(cancelled, [FinishOutcome::Done]);
            match (
                &tried[0],
                own.holds(payer, set[0].xid.0).await[..].to_vec()[0].1,
            ) {
                (TryOutcome::Reserved, 4) | (TryOutcome::CancelledBefore, 5) => {}
                other => panic!("{other:?}"),
            }
        });
        join_all(races).await;
        assert_eq!(own.money(payer).await, (1_000, 0, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_that_confirm_one_set_at_once_book_it_once() {
    with_stores(async |own| {
        let (payer, payee) = (own.account(1_000).await, own.account(0).await);
        for _ in 0..10 {
            let set = movements(&own, &[(payer, payee)], 5);
            own.try_all(&set).await;
            let (one, two) = tokio::join!(own.confirm_all(&set), own.confirm_all(&set));
            assert!(one.iter().chain(&two).all(|o| *o == FinishOutcome::Done));
        }
        assert_eq!(own.money(payer).await, (950, 0, 51));
        assert_eq!(own.money(payee).await, (50, 0, 50));
    })
    .await;
}

/// `each` orders of 1 along every pair, sorted as the engine sorts.
fn movements(own: &Own, pairs: &[(AccountId, AccountId)], each: usize) -> Vec<Branch<AccountLeg>> {
    let mut set = Vec::new();
    for (payer, payee) in pairs.iter().cycle().take(each * pairs.len()) {
        let xid = fresh();
        set.push(own.branch(xid, 0, LegKind::Debit, *payer, 1));
        set.push(own.branch(xid, 1, LegKind::Credit, *payee, 1));
    }
    set.sort_by_key(|branch| (branch.xid, branch.number));
    set
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_lanes_on_the_same_accounts_and_partly_the_same_orders_end_right() {
    with_stores(async |own| {
        let mut accounts = Vec::new();
        for _ in 0..6 {
            accounts.push(own.account(1_000).await);
        }
        let pairs: Vec<_> = (0..6)
            .map(|i| (accounts[i], accounts[(i + 1) % 6]))
            .collect();
        for _ in 0..5 {
            let set = movements(&own, &pairs, 10);
            let to_confirm = set.len() / 4 * 2;
            // Each lane gets the set from another place on, so that they overlap without being
            // the same.
            let lanes = (0..4).map(async |lane| {
                let mine = &set[lane * 6..];
                own.try_all(mine).await;
            });
            join_all(lanes).await;
            let lanes = (0..4).map(async |lane| {
                let first = own.confirm_all(&set[lane * 2..to_confirm]).await;
                let second = own.cancel_all(&set[to_confirm + lane * 2..]).await;
                assert!(
                    first
                        .iter()
                        .chain(&second)
                        .all(|o| *o == FinishOutcome::Done)
                );
            });
            join_all(lanes).await;
        }
        let mut total = 0;
        for account in accounts {
            let (balance, held, _) = own.money(account).await;
            assert_eq!(held, 0);
            total += balance;
        }
        assert_eq!(total, 6_000);
    })
    .await;
}

#[tokio::test]
async fn what_a_stopped_worker_has_locked_is_free_after_the_idle_time() {
    let settings = StoresSettings {
        idle_timeout_s: 1,
        ..StoresSettings::default()
    };
    with_stores_on(Servers::of_environment(), settings, async |own| {
        let payer = own.account(1_000).await;
        let mut stopped = own.pool_of(payer).begin().await.unwrap();
        let locked = sqlx::query("SELECT held FROM accounts WHERE id = ? FOR UPDATE")
            .bind(&payer.as_bytes()[..])
            .fetch_one(&mut *stopped);
        locked.await.unwrap();
        let set = [own.debit(payer, 10)];
        let tried = tokio::time::timeout(Duration::from_secs(4), own.try_all(&set)).await;
        assert_eq!(tried.unwrap(), [TryOutcome::Reserved]);
        assert!(stopped.commit().await.is_err(), "its session was ended");
    })
    .await;
}
