//! Orders are read back exactly as they were logged.

use crate::support::{order, with_stores};
use saga::{Pass, TransactionLog};
use std::sync::Arc;
use store::{Lookup, OrderLogSettings, PaymentOrder};

/// Texts that a careless path through JSON or a character set would change.
const TEXTS: [&str; 6] = [
    "plain",
    "",
    "ä \u{1F600} \u{10FFFF} \"quotes\" 'single' \\back\\slash / tab\t line\r\n",
    "{\"a\":\"\\u0000\\\"\\\\\"}",
    "  spaces  ",
    "null",
];

#[tokio::test]
async fn texts_survive_exactly() {
    with_stores(async |own| {
        let log = own.order_log(OrderLogSettings::default());
        let mut orders = Vec::new();
        for text in TEXTS {
            let text: Option<Arc<str>> = Some(Arc::from(text));
            let plain = order(own.account(0).await, own.account(0).await, 2933);
            orders.push(PaymentOrder {
                reference: text.clone(),
                description: text.clone(),
                metadata: text,
                ..plain.clone()
            });
            orders.push(PaymentOrder {
                id: order(plain.legs[0].account, plain.legs[1].account, 1).id,
                ..plain
            });
        }
        let long: String = "\u{1F600}".repeat(1_000);
        orders[0].description = Some(Arc::from(long));
        let big = format!("{{\"k\":\"{}\"}}", "\u{1F600}".repeat(4_000));
        orders[0].metadata = Some(Arc::from(big));
        for order in &orders {
            let mut conn = own
                .shards()
                .get(log.shard(order))
                .pool
                .acquire()
                .await
                .unwrap();
            log.begin(&mut conn, std::slice::from_ref(order), Pass::First)
                .await
                .unwrap();
        }
        let ids: Vec<_> = orders.iter().map(|order| order.id).collect();
        for (order, lookup) in orders.iter().zip(own.orders.find(&ids).await) {
            let Lookup::Found(row) = lookup else {
                panic!("{lookup:?}")
            };
            assert_eq!(row.reference.as_deref(), order.reference.as_deref());
            assert_eq!(row.description.as_deref(), order.description.as_deref());
            assert_eq!(row.metadata.as_deref(), order.metadata.as_deref());
            assert_eq!(row.legs[..], order.legs[..]);
            assert_eq!((row.amount, row.version, row.captured), (2933, 1, 0));
            assert_eq!(
                row.accepted_at.timestamp_micros(),
                order.accepted_at.timestamp_micros()
            );
            assert_eq!(
                row.not_after.timestamp_micros(),
                order.not_after.timestamp_micros()
            );
            let kept = row.decide_by - row.created_at;
            assert_eq!(kept, chrono::TimeDelta::minutes(15));
        }
    })
    .await;
}

#[tokio::test]
async fn a_text_that_does_not_fit_is_refused_and_not_cut() {
    with_stores(async |own| {
        let log = own.order_log(OrderLogSettings::default());
        let mut order = order(own.account(0).await, own.account(0).await, 1);
        order.description = Some(Arc::from("x".repeat(1_001)));
        let mut conn = own
            .shards()
            .get(log.shard(&order))
            .pool
            .acquire()
            .await
            .unwrap();
        let begun = log.begin(&mut conn, &[order.clone()], Pass::First).await;
        assert!(
            matches!(begun, Err(saga::SqlFault::Definite(_))),
            "{begun:?}"
        );
        assert!(matches!(
            own.orders.find(&[order.id]).await[..],
            [Lookup::Missing]
        ));
    })
    .await;
}

#[tokio::test]
async fn a_batch_of_the_largest_orders_fits() {
    with_stores(async |own| {
        let log = own.order_log(OrderLogSettings::default());
        let (payer, payee) = (own.account(0).await, own.account(0).await);
        let text: Arc<str> = Arc::from(format!("{{\"k\":\"{}\"}}", "\\\"".repeat(8_000)));
        let orders: Vec<PaymentOrder> = (0..600)
            .map(|_| PaymentOrder {
                metadata: Some(text.clone()),
                ..order(payer, payee, 1)
            })
            .filter(|order| log.shard(order).0 == 0)
            .collect();
        let mut tx = own
            .shards()
            .get(saga::ShardId(0))
            .pool
            .begin()
            .await
            .unwrap();
        log.begin(&mut tx, &orders, Pass::First).await.unwrap();
        tx.commit().await.unwrap();
        let shard = own.routing().order_shard(orders[0].id);
        let mut seen = 0;
        let mut after = 0;
        loop {
            let page = own.orders.page(shard, after, 100).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.seq;
            assert!(
                page.iter()
                    .all(|row| row.metadata.as_deref() == Some(&*text))
            );
            seen += page.len();
        }
        assert_eq!(seen, orders.len());
    })
    .await;
}
