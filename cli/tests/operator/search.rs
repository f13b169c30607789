//! `holdfast search snapshot`, `dead-letters` and `redrive`, with the follower in a process of its own.

use crate::follower::Followed;
use crate::payments::fresh;
use crate::reconcile::{on_order, with_followed};
use crate::world::{Said, eventually};
use domain::OrderId;
use serde_json::{Value, json};

async fn search(followed: &Followed, words: &[&str]) -> Said {
    followed.own.holdfast(&[&["search"], words].concat()).await
}

/// What is listed, the newest first.
async fn letters(followed: &Followed) -> Vec<Value> {
    let said = search(followed, &["dead-letters", "--json"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

async fn version(followed: &Followed, id: &str) -> Option<u64> {
    followed.document(id).await?["version"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_puts_back_what_search_has_lost_and_says_what_it_does_not() {
    with_followed(4, async |followed, made| {
        let lost = made.paid[0];
        followed.remove(&lost.to_string()).await;
        let shard = followed.own.stores.routing().order_shard(lost).to_string();
        let said = search(&followed, &["snapshot", "--shard", &shard]).await;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("--delete-orphans"), "{said:?}");
        assert_eq!(version(&followed, &lost.to_string()).await, Some(2));
        let none = ["snapshot", "--where-created", "..2020-01-01", "--detach"];
        assert_eq!(search(&followed, &none).await.code, 0);
        eventually("it is at its end", async || {
            let said = search(&followed, &["snapshot", "--cancel"]).await;
            (said.code == 2 && said.err.contains("no snapshot")).then_some(())
        })
        .await;
        for (bad, says) in [
            (["--shard", "orders-9"], "--shard orders-9"),
            (
                ["--where-created", "2026-11-02..2026-11-01"],
                "--where-created",
            ),
        ] {
            let said = search(&followed, &[&["snapshot"], &bad[..]].concat()).await;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.err.contains(says), "{said:?}");
        }
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_snapshots_of_other_orders_do_not_go_on_at_once() {
    with_followed(4, async |mut followed, _| {
        followed.stop().await;
        let first = ["snapshot", "--shard", "orders-0", "--detach"];
        assert_eq!(search(&followed, &first).await.code, 0);
        let again = search(&followed, &first).await;
        assert!(
            again.code == 0 && again.err.contains("already"),
            "{again:?}"
        );
        let other = search(&followed, &["snapshot", "--shard", "orders-1"]).await;
        assert!(
            other.code == 2 && other.err.contains("--cancel"),
            "{other:?}"
        );
        let status = search(&followed, &["status"]).await;
        assert!(
            status
                .out
                .contains("the orders of orders-0 are to be written again"),
            "{status:?}"
        );
        let cancelled = search(&followed, &["snapshot", "--cancel"]).await;
        assert!(
            cancelled.code == 0 && cancelled.out.contains("cancelled"),
            "{cancelled:?}"
        );
        let status = search(&followed, &["status"]).await;
        assert!(!status.out.contains("written again"), "{status:?}");
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_is_listed_stays_while_it_is_bad_and_is_written_once_it_is_mended() {
    with_followed(4, async |followed, made| {
        let bad = made.paid[0];
        // The index knows no time so late.
        let spoil =
            "UPDATE orders SET created_at = '2300-01-01', version = version + 1 WHERE id = ?";
        on_order(&followed.own, bad, spoil).await;
        let listed = eventually("it is a dead letter", async || {
            letters(&followed).await.into_iter().next()
        })
        .await;
        assert_eq!(listed["order_id"], json!(bad.to_string()));
        assert_eq!(
            (&listed["version"], listed["document"].is_object()),
            (&json!("3"), true)
        );
        let shown = search(&followed, &["dead-letters"]).await.out;
        assert!(
            shown.contains(&bad.to_string()) && shown.contains("version 3"),
            "{shown}"
        );
        refuses_what_it_is_not_told(&followed, &listed).await;
        stays_while_it_is_bad(&followed, bad, &listed).await;
        // No new version, so the follower has nothing to write.
        let mend = "UPDATE orders SET created_at = updated_at WHERE id = ?";
        on_order(&followed.own, bad, mend).await;
        let order = bad.to_string();
        let said = search(&followed, &["redrive", "--order", &order, "--yes"]).await;
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(letters(&followed).await, Vec::<Value>::new());
        assert_eq!(version(&followed, &order).await, Some(3));
        followed
    })
    .await;
}

/// Nothing is named, or nothing is like that, or it is a dry run: the letter is as it was.
async fn refuses_what_it_is_not_told(followed: &Followed, listed: &Value) {
    assert_eq!(search(followed, &["redrive", "--yes"]).await.code, 2);
    let none = search(
        followed,
        &["redrive", "--reason", "nobody said so", "--yes"],
    )
    .await;
    assert!(
        none.code == 0 && none.out.contains("No dead letter"),
        "{none:?}"
    );
    for dry in [
        &["redrive", "--all"][..],
        &["redrive", "--all", "--dry-run"],
    ] {
        let said = search(followed, dry).await;
        assert!(
            said.code == 0 && said.out.contains("Nothing was written"),
            "{said:?}"
        );
        assert!(
            said.out.contains("would be written as version 3"),
            "{said:?}"
        );
    }
    let as_it_was = letters(followed).await;
    assert_eq!(as_it_was, std::slice::from_ref(listed));
}

async fn stays_while_it_is_bad(followed: &Followed, bad: OrderId, listed: &Value) {
    let said = search(followed, &["redrive", "--all", "--yes"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("was refused again"), "{said:?}");
    let still = letters(followed).await;
    assert_eq!(still.len(), 1, "{still:?}");
    assert_ne!(still[0]["failed_at"], listed["failed_at"]);
    assert_eq!(version(followed, &bad.to_string()).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_search_has_answered_goes_and_one_without_an_order_stays() {
    with_followed(4, async |followed, made| {
        let answered = made.paid[0].to_string();
        let unknown = OrderId::from_bytes(fresh()).to_string();
        followed.dead_letter(&answered, "a field was unknown").await;
        followed.dead_letter(&unknown, "a field was too long").await;
        let said = search(&followed, &["redrive", "--reason", "unknown", "--yes"]).await;
        assert_eq!(said.code, 0, "{said:?}");
        let said = search(&followed, &["redrive", "--all", "--yes"]).await;
        assert!(
            said.code == 1 && said.out.contains("hold no such order"),
            "{said:?}"
        );
        let left = letters(&followed).await;
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0]["order_id"], json!(unknown));
        let none = search(&followed, &["redrive", "--order", &answered]).await;
        assert!(
            none.code == 1 && none.out.contains("has no dead letter"),
            "{none:?}"
        );
        followed
    })
    .await;
}
