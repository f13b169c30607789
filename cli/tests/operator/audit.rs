//! `holdfast audit`: whoever touches the trail is seen, and what operators do is in it.

use crate::payments::{fresh, usd};
use crate::world::{BACK_OFFICE, Own, with_own};
use domain::{AccountId, Xid};
use serde_json::Value;
use sqlx::Executor;
use store::Funding;
use store::audit::{Author, Via};

/// Two accounts on shard 0 and one on shard 1: three and two entries.
async fn make(own: &Own) -> AccountId {
    let account = own.account_on(0, 70).await;
    own.account_on(0, 0).await;
    own.account_on(1, 30).await;
    account
}

async fn verify(own: &Own, more: &[&str]) -> (i32, Value) {
    let said = own
        .holdfast(&[&["audit", "verify", "--json"], more].concat())
        .await;
    let json = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, json)
}

async fn list(own: &Own, more: &[&str]) -> Vec<Value> {
    let said = own
        .holdfast(&[&["audit", "list", "--json"], more].concat())
        .await;
    assert_eq!(said.code, 0, "{said:?}");
    let page: Value = serde_json::from_str(&said.out).unwrap();
    page["entries"].as_array().unwrap().clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

/// Runs statements on shard 0 as somebody with every privilege, past the guard.
async fn past_the_guard(own: &Own, statements: &[&'static str]) {
    let mut root = own.stranger_on(0).await;
    let away = [
        "DROP TRIGGER IF EXISTS audit_refuse_update",
        "DROP TRIGGER IF EXISTS audit_refuse_delete",
    ];
    for statement in away.iter().chain(statements) {
        root.execute(*statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_trail_is_said_to_be_sound_and_its_heads_can_be_expected() {
    with_own(async |own| {
        make(&own).await;
        let (code, found) = verify(&own, &[]).await;
        assert_eq!((code, &found["verdict"]), (0, &"sound".into()), "{found}");
        let shards = found["shards"].as_array().unwrap();
        let entries: Vec<_> = shards.iter().map(|s| s["entries"].as_u64()).collect();
        assert_eq!(entries, [Some(3), Some(2)]);
        assert!(shards.iter().all(|s| s["guarded"] == true), "{found}");
        let heads: Vec<&str> = shards.iter().map(|s| s["head"].as_str().unwrap()).collect();
        let expect = ["--expect", heads[0], "--expect", heads[1]];
        assert_eq!(verify(&own, &expect).await.0, 0);
        own.account_on(0, 0).await;
        assert_eq!(verify(&own, &expect).await.0, 0, "a chain may grow");
        // Another shard's head is not this one's.
        let crossed = heads[0].replace("accounts-0:3", "accounts-1:2");
        let (code, found) = verify(&own, &["--expect", &crossed]).await;
        assert_eq!(code, 1, "{found}");
        let said = own.holdfast(&["audit", "verify"]).await;
        assert!(said.out.contains("accounts-0: 4 entries"), "{said:?}");
        assert!(said.out.ends_with("as --expect.\n"), "{said:?}");
        let nowhere = heads[0].replace("accounts-0", "accounts-9");
        let said = own
            .holdfast(&["audit", "verify", "--expect", &nowhere])
            .await;
        assert_eq!(said.code, 2, "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_altered_or_removed_is_named_and_the_guard_missed() {
    with_own(async |own| {
        make(&own).await;
        past_the_guard(&own, &["UPDATE audit SET actor = 'eve' WHERE seq = 2"]).await;
        let (code, found) = verify(&own, &[]).await;
        let shards = &found["shards"];
        assert_eq!((code, &found["verdict"]), (1, &"broken".into()), "{found}");
        assert_eq!(shards[0]["broken"], "entry 2 was altered");
        assert_eq!(
            (&shards[0]["entries"], &shards[0]["guarded"]),
            (&1.into(), &false.into())
        );
        assert_eq!(shards[1]["broken"], Value::Null);
        past_the_guard(&own, &["DELETE FROM audit WHERE seq = 2"]).await;
        let said = own.holdfast(&["audit", "verify"]).await;
        assert_eq!(said.code, 1);
        let told = "accounts-0: 1 entries hold, then: entry 2 is missing";
        assert!(said.out.contains(told), "{said:?}");
        assert!(said.out.contains("no triggers are seen"), "{said:?}");
        // A run of the migrations brings the guard back.
        assert_eq!(own.holdfast(&["migrate"]).await.code, 0);
        let mut root = own.stranger_on(0).await;
        assert!(root.execute("DELETE FROM audit").await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_was_cut_off_is_found_by_its_expected_head_only() {
    with_own(async |own| {
        make(&own).await;
        let (_, found) = verify(&own, &[]).await;
        let head = found["shards"][0]["head"].as_str().unwrap().to_owned();
        past_the_guard(
            &own,
            &[
                "DELETE FROM audit WHERE seq > 1",
                "UPDATE audit_head h JOIN audit a ON a.seq = 1 SET h.seq = 1, h.hash = a.hash",
            ],
        )
        .await;
        assert_eq!(verify(&own, &[]).await.0, 0);
        let (code, found) = verify(&own, &["--expect", &head]).await;
        assert_eq!(code, 1, "{found}");
        let broken = found["shards"][0]["broken"].as_str().unwrap();
        assert!(broken.contains("ends at entry 1, and entry 3"), "{broken}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_does_not_answer_is_said_not_to_be_checked() {
    with_own(async |mut own| {
        make(&own).await;
        let (name, shards) = (
            "HOLDFAST__STORES__ACCOUNT_SHARDS",
            &own.settings.account_shards,
        );
        let half = format!("mysql://nobody:nobody@127.0.0.1:9/nothing,{}", shards[1]);
        own.env.insert(name.to_owned(), half);
        let timeout = "HOLDFAST__STORES__CONNECT_TIMEOUT_MS";
        own.env.insert(timeout.to_owned(), "1000".to_owned());
        let (code, found) = verify(&own, &[]).await;
        assert_eq!(
            (code, &found["verdict"]),
            (2, &"unchecked".into()),
            "{found}"
        );
        assert_eq!(found["shards"][1]["entries"], 2);
        let said = own.holdfast(&["audit", "list"]).await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.out.contains("accounts-0: cannot be read"), "{said:?}");
        assert!(said.out.contains("account.opened"), "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_listed_newest_last_by_what_is_asked() {
    with_own(async |own| {
        let account = make(&own).await;
        let author = Author {
            actor: "ada@example".into(),
            via: Via::Api,
            token: Some("k/1".into()),
            request_id: "r-1".into(),
        };
        let funding = Funding {
            xid: Xid::from_bytes(fresh()),
            account,
            amount: 5,
            currency: usd(),
        };
        let accounts = own.stores.accounts.by(author);
        accounts.fund(BACK_OFFICE, &funding).await.unwrap();
        let all = list(&own, &[]).await;
        let expected = [
            "account.opened",
            "account.funded",
            "account.opened",
            "account.opened",
            "account.funded",
            "account.funded",
        ];
        assert_eq!(actions(&all), expected);
        let last = &all[5];
        assert_eq!(last["object"], account.to_string());
        assert_eq!(
            (&last["detail"]["token"], &last["detail"]["amount"]),
            (&"k/1".into(), &5.into())
        );
        assert_eq!(list(&own, &["--limit", "2"]).await, all[4..]);
        assert_eq!(list(&own, &["--actor", "ada@example"]).await, all[5..]);
        let opened = list(&own, &["--action", "account.opened"]).await;
        assert_eq!(opened.len(), 3);
        assert_eq!(list(&own, &["--since", "1h"]).await, all);
        assert!(
            list(&own, &["--since", "2999-01-01T00:00:00Z"])
                .await
                .is_empty()
        );
        assert!(list(&own, &["--tenant", "other"]).await.is_empty());
        let unknown = own
            .holdfast(&["audit", "list", "--action", "nothing"])
            .await;
        assert_eq!(unknown.code, 2, "{unknown:?}");
        let text = own.holdfast(&["audit", "list", "--limit", "1"]).await;
        assert!(
            text.out.contains("ada@example  api  account.funded"),
            "{text:?}"
        );
        assert!(text.out.ends_with("request r-1\n"), "{text:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_changes_is_written_down_first_and_looking_is_not() {
    with_own(async |own| {
        for look in [&["stuck"][..], &["redrive", "--stuck"], &["reconcile"]] {
            assert_eq!(own.holdfast(look).await.code, 0, "{look:?}");
        }
        assert!(list(&own, &[]).await.is_empty());
        let act = ["redrive", "--stuck", "--yes"];
        assert_eq!(own.holdfast(&act).await.code, 0);
        let all = list(&own, &[]).await;
        assert_eq!(actions(&all), ["orders.redriven"]);
        let entry = &all[0];
        assert_eq!(
            (&entry["via"], &entry["tenant"]),
            (&"command".into(), &"".into())
        );
        assert_eq!(entry["detail"]["arguments"], serde_json::json!(act));
        let actor = entry["actor"].as_str().unwrap();
        assert!(
            actor
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        );
        // Where the trail cannot be written, nothing is changed.
        for shard in 0..2 {
            let away = "RENAME TABLE audit_head TO audit_head_away";
            own.stranger_on(shard).await.execute(away).await.unwrap();
        }
        let refused = own.holdfast(&act).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains("nothing was done"), "{refused:?}");
        let looked = own.holdfast(&["stuck"]).await;
        assert_eq!(looked.code, 0, "{looked:?}");
    })
    .await;
}
