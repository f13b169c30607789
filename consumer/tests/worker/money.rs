//! Orders reach their end, once, and whoever waits is woken.

use crate::support::{command, eventually, fresh, json, with_own};
use domain::{BodyDigest, OrderState, headers};
use rdkafka::Message;
use rdkafka::message::Headers;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_paid_or_cancelled_and_their_offsets_committed() {
    with_own(async |own| {
        let (rich, poor, shop) = (
            own.account(10_000).await,
            own.account(0).await,
            own.account(0).await,
        );
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(own.send(&command(rich, shop, 100)).await);
        }
        let refused = own.send(&command(poor, shop, 100)).await;
        let worker = own.worker();
        assert!(
            own.ended(&ids)
                .await
                .iter()
                .all(|state| *state == OrderState::Paid)
        );
        assert_eq!(own.ended(&[refused]).await, [OrderState::Cancelled]);
        assert_eq!(own.money(rich).await, (8_000, 0));
        assert_eq!(own.money(shop).await, (2_000, 0));
        own.all_committed().await;
        eventually("the worker is ready", async || {
            worker.readiness.check().ok()
        })
        .await;
        worker.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_delivered_many_times_moves_money_once() {
    with_own(async |own| {
        let (payer, shop) = (own.account(1_000).await, own.account(0).await);
        let order = command(payer, shop, 10);
        let worker = own.worker();
        for _ in 0..30 {
            own.send(&order).await;
        }
        own.ended(&[order.order_id]).await;
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (10, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_bodies_under_one_id_the_first_stands_and_the_other_is_a_dead_letter() {
    with_own(async |own| {
        let (payer, shop) = (own.account(1_000).await, own.account(0).await);
        let first = command(payer, shop, 10);
        let mut other = first.clone();
        other.amount = 20;
        other.body_digest = BodyDigest::of_parts([&fresh()[..]]);
        own.send(&first).await;
        own.send(&other).await;
        let worker = own.worker();
        let letters = own.dead_letters(1).await;
        assert_eq!(letters[0].payload().unwrap(), json(&other).as_bytes());
        let class = letters[0]
            .headers()
            .unwrap()
            .iter()
            .find(|h| h.key == "cause-class");
        assert_eq!(class.unwrap().value, Some(&b"refused"[..]));
        own.all_committed().await;
        worker.stop().await;
        assert_eq!(own.money(shop).await, (10, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_that_waits_is_woken_with_its_orders_only() {
    with_own(async |own| {
        let (payer, shop) = (own.account(1_000).await, own.account(0).await);
        let redis = own.settings.redis.client().unwrap();
        let mut subscription = redis.get_async_pubsub().await.unwrap();
        let channel = own.settings.redis.wake_channel("api-1");
        subscription.subscribe(channel).await.unwrap();
        let (mine, others) = (command(payer, shop, 10), command(payer, shop, 10));
        let key = mine.order_id.to_string();
        let wake = [(headers::WAKE, "api-1")];
        own.produce(Some(&key), &json(&mine), &wake).await;
        own.send(&others).await;
        let worker = own.worker();
        let mut messages = subscription.on_message();
        let next = futures_util::StreamExt::next(&mut messages);
        let message = tokio::time::timeout(Duration::from_secs(30), next).await;
        let text: String = message.unwrap().unwrap().get_payload().unwrap();
        assert_eq!(text, format!(r#"["{}"]"#, mine.order_id));
        assert_eq!(own.states(&[mine.order_id]).await, [Some(OrderState::Paid)]);
        own.ended(&[others.order_id]).await;
        worker.stop().await;
    })
    .await;
}
