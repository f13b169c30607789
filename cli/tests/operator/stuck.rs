//! `holdfast stuck`, the gauge beside it, and `holdfast redrive` of open orders.

use crate::consumer::Consumer;
use crate::payments::command;
use crate::world::{Own, eventually, with_own};
use domain::{AccountId, OrderId, OrderState};
use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use std::collections::BTreeSet;
use std::time::Duration;

/// Attempts follow each other quickly.
const IMPATIENT: [(&str, &str); 3] = [
    ("HOLDFAST__COORDINATOR__BACKOFF_FIRST_MS", "100"),
    ("HOLDFAST__COORDINATOR__BACKOFF_MAX_MS", "400"),
    ("HOLDFAST__COORDINATOR__STUCK_AFTER_ATTEMPTS", "3"),
];
/// After one failed attempt nothing happens for minutes, unless somebody redrives.
const PATIENT: [(&str, &str); 5] = [
    ("HOLDFAST__ORDERS__LEASE_MS", "60000"),
    ("HOLDFAST__SWEEPER__LEASE_MS", "60000"),
    ("HOLDFAST__COORDINATOR__BACKOFF_FIRST_MS", "600000"),
    ("HOLDFAST__COORDINATOR__BACKOFF_MAX_MS", "600000"),
    ("HOLDFAST__COORDINATOR__STUCK_AFTER_ATTEMPTS", "1"),
];

fn own_that_calls_stuck(own: &Own, attempts: &str) -> Own {
    let mut own = own.clone();
    let name = "HOLDFAST__COORDINATOR__STUCK_AFTER_ATTEMPTS".to_owned();
    own.env.insert(name, attempts.to_owned());
    own
}

/// Keeps an account's row locked for as long as the connection lives.
async fn lock(own: &Own, shard: u16, account: AccountId) -> MySqlConnection {
    let mut stranger = own.stranger_on(shard).await;
    sqlx::raw_sql("BEGIN").execute(&mut stranger).await.unwrap();
    sqlx::query("SELECT 1 FROM accounts WHERE id = ? FOR UPDATE")
        .bind(&account.as_bytes()[..])
        .fetch_one(&mut stranger)
        .await
        .unwrap();
    stranger
}

async fn listed(own: &Own, more: &[&str]) -> (i32, Value) {
    let said = own.holdfast(&[&["stuck", "--json"], more].concat()).await;
    let json = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, json)
}

fn ids_of(listing: &Value) -> BTreeSet<String> {
    let orders = listing["orders"].as_array().unwrap().iter();
    orders
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

fn texts(ids: &[OrderId]) -> BTreeSet<String> {
    ids.iter().map(OrderId::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_stuck_orders_are_listed_counted_and_told_of_once() {
    with_own(async |own| {
        let own = own_that_calls_stuck(&own, "3");
        let (locked, payee) = (own.account_on(0, 1_000).await, own.account_on(0, 0).await);
        let (free, shop) = (own.account_on(1, 1_000).await, own.account_on(1, 0).await);
        let lock = lock(&own, 0, locked).await;
        let consumer = Consumer::start(&own, &IMPATIENT).await;
        let stuck: Vec<_> = (0..4).map(|_| command(locked, payee, 10)).collect();
        let flowing: Vec<_> = (0..4).map(|_| command(free, shop, 10)).collect();
        let (stuck, flowing) = (own.send(&stuck).await, own.send(&flowing).await);
        own.until_paid(&flowing).await;
        own.until_all(&stuck, "all are stuck", |row| row.attempts >= 6)
            .await;

        let (code, listing) = listed(&own, &[]).await;
        assert_eq!((code, ids_of(&listing)), (1, texts(&stuck)));
        for order in listing["orders"].as_array().unwrap() {
            let text = |name: &str| order[name].as_str().unwrap();
            assert_eq!((text("state"), text("look")), ("trying", "stuck"));
            assert!(
                text("cause").contains("try on accounts-0: transient: "),
                "{order}"
            );
            assert!(
                text("remedy").contains("rows of accounts-0 locked"),
                "{order}"
            );
            assert_eq!(order["account_shards"], serde_json::json!(["accounts-0"]));
        }
        assert_eq!(listing["summary"]["stuck"], 4);
        let gauge = async || consumer.gauge("saga_stuck").await.filter(|sum| *sum == 4.0);
        eventually("the gauge shows them", gauge).await;
        for id in &stuck {
            let xid = id.to_string().replace("ord_", "");
            let log = consumer.log();
            let lines = log.lines().filter(|line| line.contains(&xid));
            assert_eq!(
                lines.filter(|line| line.contains("is stuck")).count(),
                1,
                "{log}"
            );
        }

        drop(lock);
        own.until_paid(&stuck).await;
        let gauge = async || consumer.gauge("saga_stuck").await.filter(|sum| *sum == 0.0);
        eventually("the gauge falls", gauge).await;
        let said = own.holdfast(&["stuck"]).await;
        assert_eq!((said.code, said.out.as_str()), (0, "Nothing is stuck.\n"));
        consumer.stop().await;
        own.verify().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_finishes_stuck_orders_at_once_when_their_cause_is_gone() {
    with_own(async |own| {
        let own = own_that_calls_stuck(&own, "1");
        let (payer, payee) = (own.account_on(0, 1_000).await, own.account_on(1, 0).await);
        let lock = lock(&own, 0, payer).await;
        let consumer = Consumer::start(&own, &PATIENT).await;
        let commands: Vec<_> = (0..5).map(|_| command(payer, payee, 10)).collect();
        let ids = own.send(&commands).await;
        let failed = |row: &store::OrderRow| row.last_cause.is_some();
        own.until_all(&ids, "all were tried in vain", failed).await;
        assert_eq!(
            own.holdfast(&["stuck"]).await.code,
            0,
            "nothing was attempted twice"
        );

        // By their ids, while the cause is still there: they are stuck now.
        let texts: Vec<String> = ids.iter().map(OrderId::to_string).collect();
        let mut line = vec!["redrive"];
        line.extend(texts.iter().map(String::as_str));
        assert_eq!(own.holdfast(&line).await.code, 0);
        assert!(
            own.rows(&ids).await.iter().all(|row| row.attempts == 0),
            "a dry run"
        );
        line.push("--yes");
        assert_eq!(own.holdfast(&line).await.code, 0);
        own.until_all(&ids, "all are stuck", |row| row.attempts == 1)
            .await;
        let far = chrono::Utc::now() + chrono::TimeDelta::seconds(100);
        let far_off = |row: &store::OrderRow| row.next_attempt_at.is_some_and(|at| at > far);
        own.until_all(&ids, "all were postponed", far_off).await;
        assert_eq!(own.holdfast(&["stuck"]).await.code, 1);

        drop(lock);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = own.rows(&ids).await;
        let dry = own
            .holdfast(&["redrive", "--stuck", "--cause", "accounts-0"])
            .await;
        assert!(
            dry.out.contains("5 orders would be tried at once"),
            "{dry:?}"
        );
        assert_eq!(own.rows(&ids).await, before);
        let none = own
            .holdfast(&["redrive", "--cause", "no such cause", "--yes"])
            .await;
        assert!(none.out.contains("No open order is like that"), "{none:?}");
        assert_eq!(own.rows(&ids).await, before);
        let done = own.holdfast(&["redrive", "--stuck", "--yes"]).await;
        assert!(done.out.contains("5 orders are tried at once"), "{done:?}");
        own.until_paid(&ids).await;
        assert_eq!(own.money(payee).await, (50, 0, 5));

        let again = own.holdfast(&line).await;
        assert_eq!(again.code, 1);
        assert!(again.out.contains("paid already"), "{again:?}");
        consumer.stop().await;
        own.verify().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_that_fails_for_long_is_stuck_and_a_redrive_ends_it() {
    with_own(async |own| {
        let own = own_that_calls_stuck(&own, "2");
        let (payer, payee) = (own.account_on(0, 1_000).await, own.account_on(1, 0).await);
        let (free, shop) = (own.account_on(0, 1_000).await, own.account_on(0, 0).await);
        let mut stranger = own.stranger_on(1).await;
        let away = "RENAME TABLE entries TO entries_away";
        sqlx::raw_sql(away).execute(&mut stranger).await.unwrap();
        let consumer = Consumer::start(&own, &IMPATIENT).await;
        let ids = own.send(&[command(payer, payee, 10)]).await;
        own.until_all(&ids, "it is stuck", |row| {
            row.state == OrderState::Confirming && row.attempts >= 3
        })
        .await;
        let others: Vec<_> = (0..3).map(|_| command(free, shop, 10)).collect();
        own.until_paid(&own.send(&others).await).await;
        let (code, listing) = listed(&own, &[]).await;
        assert_eq!((code, ids_of(&listing)), (1, texts(&ids)));
        let order = &listing["orders"][0];
        assert_eq!(order["state"], "confirming");
        let cause = order["cause"].as_str().unwrap();
        assert!(cause.contains("accounts-1"), "{order}");

        let back = "RENAME TABLE entries_away TO entries";
        sqlx::raw_sql(back).execute(&mut stranger).await.unwrap();
        let redriven = own
            .holdfast(&["redrive", "--cause", "accounts-1", "--yes"])
            .await;
        assert_eq!(redriven.code, 0, "{redriven:?}");
        own.until_paid(&ids).await;
        assert_eq!(own.money(payee).await, (10, 0, 1));
        consumer.stop().await;
        own.verify().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_does_not_answer_is_named_and_the_other_is_listed() {
    with_own(async |own| {
        insert_stuck(&own, 3).await;
        let mut half = own.clone();
        let urls = &mut half.env;
        let first = own.settings.order_shards[0].clone();
        let gone = "mysql://nobody@127.0.0.1:1/orders_1";
        urls.insert(
            "HOLDFAST__STORES__ORDER_SHARDS".into(),
            format!("{first},{gone}"),
        );
        let (code, listing) = listed(&half, &[]).await;
        assert_eq!(code, 2);
        assert_eq!(listing["summary"]["unreachable"][0]["shard"], "orders-1");
        assert_eq!(listing["summary"]["stuck"], 3);
        let redriven = half.holdfast(&["redrive", "--stuck", "--yes"]).await;
        assert_eq!(redriven.code, 2, "{redriven:?}");
        assert!(
            redriven.out.contains("3 orders are tried at once"),
            "{redriven:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_shard_that_does_not_answer_is_named() {
    with_own(async |own| {
        let mut half = own.clone();
        let first = own.settings.account_shards[0].clone();
        let gone = "mysql://nobody@127.0.0.1:1/accounts_1";
        half.env.insert(
            "HOLDFAST__STORES__ACCOUNT_SHARDS".into(),
            format!("{first},{gone}"),
        );
        let (code, listing) = listed(&half, &[]).await;
        assert_eq!(code, 2);
        assert_eq!(listing["summary"]["unreachable"][0]["shard"], "accounts-1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_named_and_the_others_are_listed_and_redriven() {
    with_own(async |own| {
        insert_stuck(&own, 3).await;
        let first = own.stores.orders.shards()[0];
        sqlx::query("UPDATE orders SET branches = 'no legs' ORDER BY seq LIMIT 1")
            .execute(own.stores.pool(first))
            .await
            .unwrap();
        let (code, listing) = listed(&own, &[]).await;
        assert_eq!((code, ids_of(&listing).len()), (2, 5));
        let row = &listing["summary"]["unreadable"][0];
        assert_eq!(row["shard"], "orders-0");
        let text = row["row"].as_str().unwrap();
        assert!(text.contains("is unreadable: "), "{listing}");
        let redriven = own.holdfast(&["redrive", "--stuck", "--yes"]).await;
        assert_eq!(redriven.code, 2, "{redriven:?}");
        assert!(
            redriven.out.contains("5 orders are tried at once"),
            "{redriven:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_stuck_orders_are_counted_listed_in_pages_and_redriven() {
    with_own(async |own| {
        insert_stuck(&own, 50_000).await;
        let (code, all) = listed(&own, &["--limit", "3"]).await;
        assert_eq!((code, ids_of(&all).len()), (1, 3));
        assert_eq!(all["summary"]["stuck"], 100_000);
        let after = all["summary"]["after"].as_str().unwrap();
        let (_, next) = listed(&own, &["--limit", "3", "--after", after]).await;
        assert_eq!(next["summary"]["stuck"], 99_997);
        assert!(ids_of(&all).is_disjoint(&ids_of(&next)));
        let redriven = own.holdfast(&["redrive", "--stuck", "--yes"]).await;
        assert!(
            redriven.out.contains("100000 orders are tried at once"),
            "{redriven:?}"
        );
        assert_eq!(own.holdfast(&["stuck"]).await.code, 0);
    })
    .await;
}

/// So many stuck orders on each order shard, which nobody works on.
async fn insert_stuck(own: &Own, count: u32) {
    for shard in own.stores.orders.shards() {
        let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3
             UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7
             UNION ALL SELECT 8 UNION ALL SELECT 9)";
        let statement = format!(
            "INSERT INTO orders (id, tenant, merchant, body_digest, state, currency, amount,
                 branches, accepted_at, not_after, decide_by, next_attempt_at, attempts, last_cause,
                 created_at, updated_at)
             SELECT UNHEX(REPLACE(UUID(), '-', '')), 'demo', 'shop', REPEAT('x', 32), 2, 'USD', 10,
                 '[[\"d\",\"00000000000000000000000000000001\",10],[\"c\",\"00000000000000000000000000000002\",10]]',
                 UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR,
                 UTC_TIMESTAMP(6), 25, 'confirm after cancel', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
             FROM {digits} a, {digits} b, {digits} c, {digits} d, {digits} e LIMIT {count}"
        );
        let inserted = sqlx::query(sqlx::AssertSqlSafe(statement));
        inserted.execute(own.stores.pool(shard)).await.unwrap();
    }
}
