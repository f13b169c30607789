//! `holdfast reconcile`: differences are planted in orders that the real pipeline has made, and
//! exactly these are found.

use crate::consumer::Consumer;
use crate::follower::Followed;
use crate::payments::{command, fresh};
use crate::world::{Own, Said, with_own};
use domain::{AccountId, OrderId, OrderState, PaymentCommand};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

/// Orders that are paid, orders that are cancelled, and their accounts.
pub struct Made {
    pub paid: Vec<OrderId>,
    pub cancelled: Vec<OrderId>,
    pub payer: AccountId,
}

/// Makes so many orders that are paid and as many that are cancelled.
async fn make(own: &Own, each: usize) -> Made {
    let consumer = Consumer::start(own, &[]).await;
    let payer = own.account_on(0, 1_000_000).await;
    let payee = own.account_on(1, 0).await;
    let poor = own.account_on(1, 0).await;
    let described = |amount| PaymentCommand {
        reference: Some("cart|7".into()),
        description: Some("für \"Anna\"".into()),
        ..command(payer, payee, amount)
    };
    let paid: Vec<_> = (1..=each).map(|n| described(n as i64)).collect();
    let cancelled: Vec<_> = (1..=each).map(|n| command(poor, payee, n as i64)).collect();
    let (paid, cancelled) = (own.send(&paid).await, own.send(&cancelled).await);
    own.until_paid(&paid).await;
    let is_cancelled = |row: &store::OrderRow| row.state == OrderState::Cancelled;
    own.until_all(&cancelled, "all are cancelled", is_cancelled)
        .await;
    consumer.stop().await;
    Made {
        paid,
        cancelled,
        payer,
    }
}

/// With orders and their documents.
pub async fn with_followed<F: Future<Output = Followed>>(
    each: usize,
    test: impl FnOnce(Followed, Made) -> F,
) {
    with_own(async |own| {
        let made = make(&own, each).await;
        let followed = Followed::start(&own).await;
        followed.until_indexed(2 * each).await;
        test(followed, made).await.drop_index().await;
    })
    .await;
}

/// What a reconciliation with these options ends with and reports.
pub async fn reconcile(own: &Own, more: &[&str]) -> (i32, Value) {
    let said: Said = own
        .holdfast(&[&["reconcile", "--json"], more].concat())
        .await;
    let json = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, json)
}

/// Which kinds of differences were found of which orders.
pub fn found(report: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = report["differences"].as_array().unwrap().iter();
    differences
        .map(|one| (text(&one["kind"]), text(&one["order_id"])))
        .collect()
}

pub fn set(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let owned = |(kind, id): &(&str, &str)| ((*kind).to_owned(), (*id).to_owned());
    expected.iter().map(owned).collect()
}

async fn on(url: &str, sql: &'static str, id: OrderId) {
    let mut conn = MySqlConnection::connect(url).await.unwrap();
    let done = sqlx::query(sql).bind(&id.as_bytes()[..]).execute(&mut conn);
    assert!(done.await.unwrap().rows_affected() > 0, "{sql}");
}

pub async fn on_order(own: &Own, id: OrderId, sql: &'static str) {
    let shard = own.stores.routing().order_shard(id);
    on(
        &own.settings.order_shards[usize::from(shard.index)],
        sql,
        id,
    )
    .await;
}

/// On the payers' shard if they are rich, on the other if they are poor or payees.
pub async fn on_accounts(own: &Own, shard: usize, id: OrderId, sql: &'static str) {
    on(&own.settings.account_shards[shard], sql, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_agree_are_said_to_agree() {
    with_followed(8, async |followed, _| {
        let (code, report) = reconcile(&followed.own, &[]).await;
        assert_eq!((code, &report["orders"]), (0, &json!(16)), "{report}");
        // Not even the sums differ, so that a range that agrees is not read twice.
        assert_eq!(report["ranges"]["differing"], 0, "{report}");
        assert!(report["ranges"]["compared"].as_u64() > Some(8), "{report}");
        assert_eq!(
            (&report["differences"], &report["in_flight"]),
            (&json!([]), &json!(0))
        );
        assert!(report["as_of"].is_string() && report["since"].is_null());
        followed
    })
    .await;
}

/// So many paid orders in one range of the first pass, all like this one, with their entries.
async fn crowd(own: &Own, like: OrderId, many: usize) -> Vec<OrderId> {
    let crowded = || {
        let mut id = fresh();
        (id[0], id[1]) = (0xab, 0xc0 | id[1] & 0x0f);
        OrderId::from_bytes(id)
    };
    let ids: Vec<OrderId> = (0..many).map(|_| crowded()).collect();
    let orders = "INSERT INTO orders (id, tenant, merchant, body_digest, state, reason, version,
             currency, amount, captured, refunded, branches, accepted_at, not_after, decide_by,
             created_at, updated_at)
         SELECT UNHEX(d.id), o.tenant, o.merchant, o.body_digest, 10, 0, 2, o.currency, ?, ?, 0, ?, o.accepted_at, o.not_after, o.decide_by, o.created_at, o.updated_at
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(32) PATH '$')) d
         JOIN (SELECT * FROM orders LIMIT 1) o";
    let row = own.rows(&[like]).await.remove(0);
    let branches = domain::encode_legs(&row.legs);
    for (url, shard) in own.settings.order_shards.iter().zip(0..) {
        let here = |id: &&OrderId| own.stores.routing().order_shard(**id).index == shard;
        let here: Vec<String> = ids.iter().filter(here).map(digits).collect();
        let mut conn = MySqlConnection::connect(url).await.unwrap();
        let query = sqlx::query(orders).bind(row.amount).bind(row.amount);
        let query = query.bind(&branches).bind(json!(here).to_string());
        query.execute(&mut conn).await.unwrap();
    }
    let entries = "INSERT INTO entries
         SELECT e.account, 1000000 + d.n, UNHEX(d.id), e.leg, e.delta, 0, e.booked_at
         FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, id CHAR(32) PATH '$')) d
         JOIN (SELECT * FROM entries WHERE xid = ?) e";
    let all: Vec<String> = ids.iter().map(digits).collect();
    for url in &own.settings.account_shards {
        let mut conn = MySqlConnection::connect(url).await.unwrap();
        let query = sqlx::query(entries).bind(json!(all).to_string());
        let query = query.bind(&like.as_bytes()[..]);
        query.execute(&mut conn).await.unwrap();
    }
    ids
}

fn digits(id: &OrderId) -> String {
    id.to_string()[OrderId::PREFIX.len()..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowded_range_is_cut_until_the_one_that_differs_is_found() {
    with_followed(8, async |followed, made| {
        let own = &followed.own;
        let ids = crowd(own, made.paid[0], 1_200).await;
        followed.until_indexed(1_216).await;
        let (code, report) = reconcile(own, &[]).await;
        assert_eq!(
            (code, &report["ranges"]["differing"]),
            (0, &json!(0)),
            "{report:#}"
        );

        on_accounts(own, 1, ids[3], "DELETE FROM entries WHERE xid = ?").await;
        followed.remove(&ids[900].to_string()).await;
        let (code, report) = reconcile(own, &[]).await;
        let (half, missing) = (ids[3].to_string(), ids[900].to_string());
        let expected = set(&[
            ("paid_with_other_entries", &half),
            ("missing_document", &missing),
        ]);
        assert_eq!((code, found(&report)), (1, expected), "{report:#}");
        // The range itself and one of its sixteen, on each side.
        assert_eq!(report["ranges"]["differing"], 4, "{report:#}");
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_orders_go_on_coming() {
    with_followed(4, async |followed, made| {
        let own = &followed.own;
        let consumer = Consumer::start(&followed.without_search, &[]).await;
        let payee = own.account_on(0, 0).await;
        let asked = Cell::new(false);
        let sending = async {
            while !asked.get() {
                let batch: Vec<_> = (0..20).map(|_| command(made.payer, payee, 1)).collect();
                own.send(&batch).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let asking = async {
            let mut seen = Vec::new();
            for _ in 0..4 {
                let (code, report) = reconcile(own, &[]).await;
                assert_eq!(
                    (code, &report["differences"]),
                    (0, &json!([])),
                    "{report:#}"
                );
                seen.push(report["orders"].as_u64().unwrap());
            }
            asked.set(true);
            seen
        };
        let ((), seen) = tokio::join!(sending, asking);
        assert!(seen.first() < seen.last(), "orders did come: {seen:?}");
        consumer.stop().await;
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_made_before_since_are_not_compared() {
    with_followed(3, async |followed, made| {
        let own = &followed.own;
        let long_ago = "UPDATE orders SET created_at = '2020-01-01' WHERE id = ?";
        let ids: Vec<String> = made.paid.iter().map(OrderId::to_string).collect();
        for id in [made.paid[0], made.paid[1]] {
            on_order(own, id, long_ago).await;
            followed.remove(&id.to_string()).await;
        }
        followed.remove(&ids[2]).await;
        let (_, all) = reconcile(own, &["--since", "2019-12-31T00:00:00Z"]).await;
        assert_eq!(all["differences"].as_array().unwrap().len(), 3, "{all:#}");
        let (code, lately) = reconcile(own, &["--since", "24h"]).await;
        assert_eq!(
            (code, found(&lately)),
            (1, set(&[("missing_document", &ids[2])]))
        );
        assert_eq!(lately["orders"], 4);
        let said = own.holdfast(&["reconcile", "--since", "yesterday"]).await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("neither a time"), "{said:?}");
        let said = own
            .holdfast(&["reconcile", "--since", "2999-01-01T00:00:00Z"])
            .await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("--since"), "{said:?}");
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_search_has_not_come_up_to_is_in_flight_and_not_a_difference() {
    with_followed(3, async |mut followed, made| {
        followed.stop().await;
        // So that it is behind by more than is not worth a word.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let touch = "UPDATE orders SET version = 3, updated_at = UTC_TIMESTAMP(6) WHERE id = ?";
        on_order(&followed.own, made.paid[0], touch).await;
        let (code, report) = reconcile(&followed.own, &[]).await;
        assert_eq!((code, &report["in_flight"]), (0, &json!(1)), "{report:#}");
        assert!(report["notes"].to_string().contains("behind"), "{report:#}");
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_named_and_nothing_is_told() {
    with_own(async |mut own| {
        let accounts = own.settings.account_shards.clone();
        let away = format!("{},mysql://nobody@127.0.0.1:1/accounts_1", accounts[0]);
        own.env
            .insert("HOLDFAST__STORES__ACCOUNT_SHARDS".to_owned(), away);
        let said = own.holdfast(&["reconcile"]).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains("accounts-1"), "{said:?}");
    })
    .await;
}
