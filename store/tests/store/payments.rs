//! Whole batches through the engine: the order shards are its log, the account shards its
//! participant, and the books balance afterwards.

use crate::support::{BACK_OFFICE, Own, order, with_stores};
use domain::{AccountId, Reason};
use saga::{
    Answer, Coordinator, CoordinatorSettings, Outcome, Pass, Sweeper, SweeperSettings,
    TransactionLog,
};
use std::sync::Arc;
use store::{AccountParticipant, Lookup, OrderLog, OrderLogSettings, PaymentOrder};

type Payments = Coordinator<OrderLog, AccountParticipant>;

fn coordinator(own: &Own) -> Payments {
    coordinator_with(own, OrderLogSettings::default())
}

fn coordinator_with(own: &Own, settings: OrderLogSettings) -> Payments {
    let settings_of_engine = CoordinatorSettings::default();
    let (log, participant) = (own.order_log(settings), own.account_participant());
    Coordinator::new(log, participant, own.shards(), settings_of_engine)
}

fn paid() -> Answer {
    Answer::Done {
        outcome: Outcome::Confirmed,
        reason: None,
    }
}

fn cancelled(reason: Reason) -> Answer {
    Answer::Done {
        outcome: Outcome::Cancelled,
        reason: Some(saga::Reason(reason.into())),
    }
}

/// Orders with their places in the log.
fn in_log_order(orders: impl IntoIterator<Item = PaymentOrder>) -> Vec<PaymentOrder> {
    let numbered = (0..).zip(orders);
    numbered
        .map(|(arrival, order)| PaymentOrder { arrival, ..order })
        .collect()
}

async fn assert_verified(own: &Own) {
    let report = store::verify::run(own).await;
    assert_eq!(report.breaches, []);
    assert_eq!((report.in_flight, report.unreachable.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_merchant_is_paid_by_many_and_the_books_balance() {
    with_stores(async |own| {
        let merchant = own.account_on(1, 0).await;
        let mut payers = Vec::new();
        for shard in [0, 1, 0, 1] {
            payers.push(own.account_on(shard, 1_000).await);
        }
        let orders = (0..200).map(|i| order(payers[i % 4], merchant, 10));
        let orders = in_log_order(orders);
        let engine = coordinator(&own);
        assert_eq!(engine.run(orders.clone()).await, vec![paid(); 200]);
        assert_eq!(own.money(merchant).await, (2_000, 0, 200));
        for payer in &payers {
            assert_eq!(own.money(*payer).await, (500, 0, 51));
        }
        // Delivered again, also as duplicates within one batch: the same rows.
        let again = [orders.clone(), orders].concat();
        assert_eq!(engine.run(again).await, vec![paid(); 400]);
        assert_eq!(own.money(merchant).await, (2_000, 0, 200));
        assert_verified(&own).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_orders_of_a_payer_get_his_money() {
    with_stores(async |own| {
        let (payer, payee) = (own.account_on(0, 100).await, own.account_on(1, 0).await);
        let orders = in_log_order((0..20).map(|_| order(payer, payee, 10)));
        let answers = coordinator(&own).run(orders).await;
        let expected = [
            vec![paid(); 10],
            vec![cancelled(Reason::InsufficientFunds); 10],
        ];
        assert_eq!(answers, expected.concat());
        assert_eq!(own.money(payer).await, (0, 0, 11));
        assert_verified(&own).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_a_mixed_batch_hurts_its_own_order_only() {
    with_stores(async |own| {
        let payer = own.account_on(0, 100).await;
        let payee = own.account_on(1, 0).await;
        let closed = own.account_on(1, 0).await;
        own.accounts.close(BACK_OFFICE, closed).await.unwrap();
        let missing = AccountId::from_bytes([3; 16]);
        let late = PaymentOrder {
            not_after: chrono::Utc::now() - chrono::TimeDelta::seconds(5),
            ..order(payer, payee, 1)
        };
        let orders = in_log_order([
            order(payer, payee, 40),
            order(payer, closed, 5),
            order(missing, payee, 5),
            order(payer, missing, 5),
            order(payer, payee, 90),
            late,
            order(payer, payee, 20),
        ]);
        let answers = coordinator(&own).run(orders.clone()).await;
        let expected = [
            paid(),
            cancelled(Reason::AccountClosed),
            cancelled(Reason::AccountNotFound),
            cancelled(Reason::AccountNotFound),
            cancelled(Reason::InsufficientFunds),
            cancelled(Reason::Expired),
            paid(),
        ];
        assert_eq!(answers, expected);
        assert_eq!(own.money(payer).await, (40, 0, 3));
        assert_eq!(own.money(payee).await, (60, 0, 2));
        for (order, answer) in orders.iter().zip(answers) {
            let Lookup::Found(row) = own.orders.find(&[order.id]).await.remove(0) else {
                panic!("an order is missing");
            };
            let reason = row.reason.map(|reason| saga::Reason(reason.into()));
            assert!(matches!(answer, Answer::Done { reason: told, .. } if told == reason));
            assert_eq!(row.version, 2);
        }
        assert_verified(&own).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_workers_with_overlapping_batches_pay_each_order_once() {
    with_stores(async |own| {
        let merchant = own.account_on(1, 0).await;
        let mut payers = Vec::new();
        for shard in [0, 1, 0, 1, 0] {
            payers.push(own.account_on(shard, 10_000).await);
        }
        let orders = in_log_order((0..100).map(|i| order(payers[i % 5], merchant, 1)));
        let engine = coordinator(&own);
        let lanes = (0..4).map(|lane| engine.run(orders[lane * 15..lane * 15 + 55].to_vec()));
        for answers in futures_util::future::join_all(lanes).await {
            assert_eq!(answers, vec![paid(); 55]);
        }
        assert_eq!(own.money(merchant).await, (100, 0, 100));
        assert_verified(&own).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_left_is_finished_by_the_sweeper() {
    with_stores(async |own| {
        let settings = OrderLogSettings {
            lease_ms: 0,
            ..OrderLogSettings::default()
        };
        let (payer, payee) = (own.account_on(0, 1_000).await, own.account_on(1, 0).await);
        let mut orders = in_log_order((0..30).map(|_| order(payer, payee, 10)));
        orders.sort_by_key(|order| order.id);
        // Logged, and a third of it tried, when the worker died.
        let log = own.order_log(settings);
        for order in &orders {
            let pool = own.shards().get(log.shard(order)).pool.clone();
            let mut conn = pool.acquire().await.unwrap();
            let record = std::slice::from_ref(order);
            log.begin(&mut conn, record, Pass::First).await.unwrap();
        }
        for order in &orders[..10] {
            let mut branches = Vec::new();
            log.branches(order, &mut branches);
            own.try_all(&branches[..1]).await;
        }
        let in_flight = store::verify::run(&own).await;
        assert_eq!((in_flight.in_flight, in_flight.breaches), (30, vec![]));

        let engine = Arc::new(coordinator_with(&own, settings));
        let sweeper = Sweeper::new(engine, SweeperSettings::default());
        sweeper.sweep_once().await;
        assert_eq!(own.money(payer).await, (700, 0, 31));
        assert_eq!(own.money(payee).await, (300, 0, 30));
        assert_verified(&own).await;
    })
    .await;
}
