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
    cancelled: Vec<OrderId>,
    payer: AccountId,
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

async fn reconcile(own: &Own, more: &[&str]) -> (i32, Value) {
    let said: Said = own
        .holdfast(&[&["reconcile", "--json"], more].concat())
        .await;
    let json = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, json)
}

/// Which kinds of differences were found of which orders.
fn found(report: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = report["differences"].as_array().unwrap().iter();
    differences
        .map(|one| (text(&one["kind"]), text(&one["order_id"])))
        .collect()
}

fn set(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let owned = |(kind, id): &(&str, &str)| ((*kind).to_owned(), (*id).to_owned());
    expected.iter().map(owned).collect()
}

fn the<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let differences = report["differences"].as_array().unwrap();
    differences.iter().find(|one| one["kind"] == kind).unwrap()
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
