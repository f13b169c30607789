//! One key, one order, whoever remembers it.

use crate::stand::{order, with_stand};
use std::collections::BTreeSet;

#[tokio::test]
async fn fifty_at_once_with_one_key_are_one_order() {
    with_stand(async |stand| {
        let urls = [stand.start().await, stand.start().await];
        let asked = (0..50).map(|number| {
            let shop = stand.shop(&urls[number % 2]);
            tokio::spawn(async move { shop.post_order("one", &order(100)).await })
        });
        let asked: Vec<_> = asked.collect();
        let (mut ids, mut first) = (BTreeSet::new(), 0);
        for answer in asked {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
            ids.insert(answer.text("id").to_owned());
            first += usize::from(answer.header("idempotent-replayed").is_empty());
        }
        assert_eq!((ids.len(), first), (1, 1));
        let records = stand.records().await;
        assert!(records.iter().all(|record| ids.contains(&record.key)));
        let later = stand.shop(&urls[0]).post_order("one", &order(100)).await;
        assert_eq!(later.header("idempotent-replayed"), "true");
        assert_eq!(stand.records().await.len(), records.len());
    })
    .await;
}

#[tokio::test]
async fn another_body_is_refused_by_whoever_remembers_the_first() {
    with_stand(async |stand| {
        let (url, other_url) = (stand.start().await, stand.start().await);
        let (shop, elsewhere) = (stand.shop(&url), stand.shop(&other_url));
        assert_eq!(shop.post_order("k", &order(100)).await.status, 202);
        // By this process's memory and by Redis.
        shop.post_order("k", &order(101))
            .await
            .problem(422, "idempotency_key_reused");
        elsewhere
            .post_order("k", &order(101))
            .await
            .problem(422, "idempotency_key_reused");
        // By the row, once everything else has forgotten.
        let record = stand.records().await.remove(0).value;
        stand.insert_row(&record, (10, 0)).await;
        stand.empty_redis().await;
        let fresh = stand.shop(&stand.start().await);
        fresh
            .post_order("k", &order(101))
            .await
            .problem(422, "idempotency_key_reused");
        let same = fresh.post_order("k", &order(100)).await;
        assert_eq!(same.status, 202, "{same:?}");
        assert_eq!(same.header("idempotent-replayed"), "true");
        assert_eq!(same.text("status"), "paid");
        assert_eq!(stand.records().await.len(), 1);
        // The key is the merchant's own.
        let rival = stand.client(&url, "demo", Some("rival"), crate::tokens::ALL_SCOPES);
        let theirs = rival.post_order("k", &order(101)).await;
        assert_eq!(theirs.status, 202);
        assert_ne!(theirs.text("id"), same.text("id"));
    })
    .await;
}

#[tokio::test]
async fn two_bodies_that_race_under_one_key_never_both_win() {
    with_stand(async |stand| {
        let urls = [stand.start().await, stand.start().await];
        for round in 0..20 {
            let key = format!("race-{round}");
            let asked = (0..6).map(|number: usize| {
                let (shop, key) = (stand.shop(&urls[number % 2]), key.clone());
                let amount = 100 + (number as i64) / 3;
                tokio::spawn(async move { (amount, shop.post_order(&key, &order(amount)).await) })
            });
            let asked: Vec<_> = asked.collect();
            let mut winners = BTreeSet::new();
            for answer in asked {
                let (amount, answer) = answer.await.unwrap();
                match answer.status.as_u16() {
                    202 => {
                        winners.insert(amount);
                    }
                    409 => {
                        answer.problem(409, "idempotency_key_in_flight");
                        assert!(!answer.header("retry-after").is_empty());
                    }
                    _ => {
                        answer.problem(422, "idempotency_key_reused");
                    }
                }
            }
            assert_eq!(winners.len(), 1, "{key}");
        }
        let records = stand.records().await;
        let bodies: BTreeSet<_> = records
            .iter()
            .map(|r| (&r.key, r.value["amount"].as_i64()))
            .collect();
        assert_eq!(bodies.len(), 20, "one body for each key is on Kafka");
    })
    .await;
}
