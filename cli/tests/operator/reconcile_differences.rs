//! Each kind of difference that a reconciliation finds, and what it mends.

use crate::payments::fresh;
use crate::reconcile::{found, on_accounts, on_order, reconcile, set, with_followed};
use domain::OrderId;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn the<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let differences = report["differences"].as_array().unwrap();
    differences.iter().find(|one| one["kind"] == kind).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_between_orders_and_search_is_found_and_nothing_else() {
    with_followed(8, async |followed, made| {
        let ids: Vec<String> = made.paid.iter().map(OrderId::to_string).collect();
        let [missing, letter, older, other_payee, other_text, newer, ..] = &ids[..] else {
            unreachable!()
        };
        followed.remove(missing).await;
        followed.remove(letter).await;
        followed.dead_letter(letter, "the field is too long").await;
        let mut old = followed.document(older).await.unwrap();
        old["version"] = json!(1);
        old["status"] = json!("processing");
        followed.remove(older).await;
        followed.plant(older, 1, &old).await;
        let mut wrong = followed.document(other_payee).await.unwrap();
        wrong["payee"] = json!(made.payer.to_string());
        followed.plant(other_payee, 2, &wrong).await;
        let mut wrong = followed.document(other_text).await.unwrap();
        wrong["description"] = json!("nobody said so");
        followed.plant(other_text, 2, &wrong).await;
        let mut ahead = followed.document(newer).await.unwrap();
        ahead["version"] = json!(7);
        followed.plant(newer, 7, &ahead).await;
        let stranger = OrderId::from_bytes(fresh()).to_string();
        let mut made_up = followed.document(&ids[6]).await.unwrap();
        made_up["order_id"] = json!(stranger);
        followed.plant(&stranger, 2, &made_up).await;
        made_up["order_id"] = json!("my own order");
        followed.plant("mine", 2, &made_up).await;

        let (code, report) = reconcile(&followed.own, &[]).await;
        let expected = set(&[
            ("missing_document", missing),
            ("missing_document", letter),
            ("older_document", older),
            ("differing_document", other_payee),
            ("differing_document", other_text),
            ("newer_document", newer),
            ("document_without_row", &stranger),
            ("document_without_row", "mine"),
        ]);
        assert_eq!((code, found(&report)), (1, expected), "{report:#}");
        let letters = report["differences"].as_array().unwrap().iter();
        let caused = letters.filter(|one| {
            let cause = one["likely_cause"].as_str().unwrap();
            cause.contains("dead letter: the field is too long")
        });
        let caused: Vec<&Value> = caused.map(|one| &one["order_id"]).collect();
        assert_eq!(caused, [&json!(letter)]);
        let says = the(&report, "older_document")["says"].to_string();
        assert!(says.contains("order: version 2, paid") && says.contains("document: version 1"));
        let differing = report["differences"].as_array().unwrap().iter();
        let fields: BTreeSet<&str> = differing
            .filter(|one| one["kind"] == "differing_document")
            .map(|one| one["says"][0].as_str().unwrap().split(':').next().unwrap())
            .collect();
        assert_eq!(fields, BTreeSet::from(["description", "payee"]));
        // People read the same.
        let said = followed.own.holdfast(&["reconcile"]).await;
        assert!(
            said.code == 1 && said.out.starts_with("8 DIFFERENCES"),
            "{said:?}"
        );
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_between_orders_and_ledger_is_found_and_nothing_else() {
    with_followed(8, async |followed, made| {
        let own = &followed.own;
        let [none, half, other, held, ..] = made.paid[..] else {
            unreachable!()
        };
        let cancelled = made.cancelled[0];
        let delete = "DELETE FROM entries WHERE xid = ?";
        on_accounts(own, 0, none, delete).await;
        on_accounts(own, 1, none, delete).await;
        on_accounts(own, 1, half, delete).await;
        on_accounts(
            own,
            1,
            other,
            "UPDATE entries SET delta = delta + 1 WHERE xid = ?",
        )
        .await;
        on_accounts(own, 0, held, "UPDATE holds SET state = 1 WHERE xid = ?").await;
        let book = "INSERT INTO entries
             SELECT account, 900000 + leg, ?, leg, delta, balance_after, UTC_TIMESTAMP(6)
             FROM entries ORDER BY number DESC LIMIT 1";
        on_accounts(own, 0, cancelled, book).await;
        let orphan = OrderId::from_bytes(fresh());
        let book = "INSERT INTO entries
             SELECT account, 910000 + leg, ?, leg, delta, balance_after, UTC_TIMESTAMP(6)
             FROM entries ORDER BY number DESC LIMIT 1";
        on_accounts(own, 0, orphan, book).await;
        let holder = OrderId::from_bytes(fresh());
        let hold = "INSERT INTO holds (xid, leg, account, amount, state, created_at)
             SELECT ?, leg, account, amount, 1, UTC_TIMESTAMP(6) FROM holds LIMIT 1";
        on_accounts(own, 0, holder, hold).await;

        let (code, report) = reconcile(own, &["--repair-search"]).await;
        let [none, half, other, held] = [none, half, other, held].map(|id| id.to_string());
        let expected = set(&[
            ("paid_without_entries", &none),
            ("paid_with_other_entries", &half),
            ("paid_with_other_entries", &other),
            ("hold_of_ended_order", &held),
            ("entries_of_unpaid_order", &cancelled.to_string()),
            ("entries_without_order", &orphan.to_string()),
            ("hold_without_order", &holder.to_string()),
        ]);
        assert_eq!((code, found(&report)), (1, expected), "{report:#}");
        // Money is not repaired, whatever was asked for.
        assert_eq!(report["repaired"], 0);
        let (_, again) = reconcile(own, &[]).await;
        assert_eq!(found(&again), found(&report));
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repairing_search_makes_it_say_what_the_orders_say() {
    with_followed(5, async |followed, made| {
        let ids: Vec<String> = made.paid.iter().map(OrderId::to_string).collect();
        let right = followed.document(&ids[1]).await.unwrap();
        followed.remove(&ids[0]).await;
        let mut wrong = right.clone();
        wrong["amount"] = json!(9_999);
        followed.plant(&ids[1], 2, &wrong).await;
        let stranger = OrderId::from_bytes(fresh()).to_string();
        followed.plant(&stranger, 2, &right).await;
        let mut ahead = followed.document(&ids[2]).await.unwrap();
        ahead["version"] = json!(7);
        followed.plant(&ids[2], 7, &ahead).await;

        // One that was an order once: its document is the last that tells of it.
        let lost = made.paid[3];
        on_order(&followed.own, lost, "DELETE FROM orders WHERE id = ?").await;

        let (code, report) = reconcile(&followed.own, &["--repair-search"]).await;
        assert_eq!((code, &report["repaired"]), (1, &json!(2)), "{report:#}");
        assert_eq!(the(&report, "missing_document")["repaired"], true);
        assert_eq!(the(&report, "newer_document")["repaired"], false);
        assert_eq!(followed.document(&ids[1]).await.unwrap(), right);
        assert_eq!(followed.document(&stranger).await, Some(right.clone()));
        let delete = ["--repair-search", "--delete-orphans"];
        let (code, report) = reconcile(&followed.own, &delete).await;
        assert_eq!((code, &report["repaired"]), (1, &json!(1)), "{report:#}");
        assert_eq!(followed.document(&stranger).await, None);
        assert!(followed.document(&lost.to_string()).await.is_some());
        // What is left is what search must not go back from.
        let (_, again) = reconcile(&followed.own, &[]).await;
        let left = set(&[
            ("newer_document", &ids[2]),
            ("document_without_row", &ids[3]),
            ("entries_without_order", &ids[3]),
        ]);
        assert_eq!(found(&again), left, "{again:#}");
        // The follower goes on over what was repaired: a new version of the order reaches search.
        let touch = "UPDATE orders SET version = 3, refunded = 1 WHERE id = ?";
        on_order(&followed.own, made.paid[1], touch).await;
        crate::world::eventually("the new version is there", async || {
            let document = followed.document(&ids[1]).await?;
            (document["version"] == 3).then_some(())
        })
        .await;
        followed
    })
    .await;
}
