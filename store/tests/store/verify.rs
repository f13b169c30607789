//! Each planted breach is found and called by its name; on sound stores nothing is.

use crate::support::{Own, order, with_stores};
use domain::AccountId;
use saga::{Coordinator, CoordinatorSettings};
use store::verify::{Report, run};
use store::{OrderLogSettings, PaymentOrder};

/// Stores with orders paid, cancelled and funded across all shards.
struct Sound {
    orders: Vec<PaymentOrder>,
    payer: AccountId,
    payee: AccountId,
}

async fn sound(own: &Own) -> Sound {
    let (payer, payee) = (own.account_on(0, 100).await, own.account_on(1, 50).await);
    let orders: Vec<_> = (0..12).map(|_| order(payer, payee, 10)).collect();
    let log = own.order_log(OrderLogSettings::default());
    let settings = CoordinatorSettings::default();
    let engine = Coordinator::new(log, own.account_participant(), own.shards(), settings);
    engine.run(orders.clone()).await;
    let report = run(own).await;
    assert_eq!(report.breaches, []);
    assert_eq!(report.counted.orders, 12);
    assert_eq!(report.counted.accounts, 4);
    assert_eq!(report.counted.holds, 12);
    assert_eq!(report.counted.entries, 24);
    Sound {
        orders,
        payer,
        payee,
    }
}

/// The names of the breaches, each once.
fn named(report: &Report) -> Vec<&'static str> {
    let mut names: Vec<_> = report
        .breaches
        .iter()
        .map(|breach| breach.invariant)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

async fn damage(own: &Own, account: AccountId, statement: &'static str) {
    let done = sqlx::query(statement).execute(own.pool_of(account)).await;
    assert!(done.unwrap().rows_affected() > 0, "{statement}");
}

#[tokio::test]
async fn damaged_accounts_and_entries_are_found() {
    with_stores(async |own| {
        let sound = sound(&own).await;
        for (harm, repair, names) in [
            (
                "UPDATE accounts SET ledger_balance = ledger_balance + 1 WHERE kind = 1",
                "UPDATE accounts SET ledger_balance = ledger_balance - 1 WHERE kind = 1",
                &["INV-1"][..],
            ),
            (
                "UPDATE accounts SET held = held + 1 WHERE kind = 1",
                "UPDATE accounts SET held = held - 1 WHERE kind = 1",
                &["INV-1", "INV-3"],
            ),
            (
                "UPDATE accounts SET last_entry = last_entry + 1 WHERE kind = 1",
                "UPDATE accounts SET last_entry = last_entry - 1 WHERE kind = 1",
                &["INV-1"],
            ),
            (
                "UPDATE entries SET number = number + 100 WHERE number = 3",
                "UPDATE entries SET number = number - 100 WHERE number = 103",
                &["INV-1"],
            ),
            (
                "UPDATE entries SET balance_after = balance_after + 1 WHERE number = 2",
                "UPDATE entries SET balance_after = balance_after - 1 WHERE number = 2",
                &["INV-1"],
            ),
            (
                "UPDATE entries SET delta = delta - 1 WHERE number = 2",
                "UPDATE entries SET delta = delta + 1 WHERE number = 2",
                &["INV-1"],
            ),
        ] {
            damage(&own, sound.payer, harm).await;
            let report = run(&own).await;
            assert_eq!(named(&report), names, "{harm}: {:?}", report.breaches);
            damage(&own, sound.payer, repair).await;
        }
        assert_eq!(run(&own).await.breaches, []);
    })
    .await;
}

#[tokio::test]
async fn holds_that_contradict_their_orders_are_found() {
    with_stores(async |own| {
        let sound = sound(&own).await;
        for (harm, repair, names) in [
            // An order is paid, and its hold is open.
            (
                "UPDATE holds SET state = 1, captured = 0 WHERE state = 3 LIMIT 1",
                "UPDATE holds SET state = 3, captured = amount WHERE state = 1",
                &["INV-1", "INV-2"][..],
            ),
            // An order is cancelled, and its hold is captured.
            (
                "UPDATE holds SET state = 3, captured = amount WHERE state = 2 LIMIT 1",
                "UPDATE holds SET state = 2, captured = 0 WHERE state = 3 AND reason = 1",
                &["INV-2"],
            ),
            (
                "UPDATE holds SET amount = amount + 1, captured = captured + 1 WHERE state = 3 LIMIT 1",
                "UPDATE holds SET amount = 10, captured = 10 WHERE amount = 11",
                &["INV-1"],
            ),
        ] {
            damage(&own, sound.payer, harm).await;
            let report = run(&own).await;
            assert_eq!(named(&report), names, "{harm}: {:?}", report.breaches);
            damage(&own, sound.payer, repair).await;
        }
        // A hold that no order explains.
        damage(
            &own,
            sound.payer,
            "INSERT INTO holds (xid, leg, account, amount, state, created_at)
             SELECT UNHEX(REPEAT('ab', 16)), 0, account, amount, 4, created_at FROM holds LIMIT 1",
        )
        .await;
        assert_eq!(named(&run(&own).await), ["INV-5"]);
    })
    .await;
}

#[tokio::test]
async fn a_lost_credit_is_found_also_as_money_that_is_missing() {
    with_stores(async |own| {
        let sound = sound(&own).await;
        damage(&own, sound.payee, "DELETE FROM entries WHERE number = 11").await;
        damage(
            &own,
            sound.payee,
            "UPDATE accounts SET ledger_balance = ledger_balance - 10, last_entry = 10 WHERE kind = 1",
        )
        .await;
        let report = run(&own).await;
        assert_eq!(named(&report), ["INV-1", "INV-4"], "{:?}", report.breaches);
        let money = report.breaches.iter().find(|b| b.text.contains("USD")).unwrap();
        assert_eq!(money.rows, ["sum -10 USD"]);
        let lost = report.breaches.iter().find(|b| b.invariant == "INV-4").unwrap();
        assert!(lost.rows[0].contains("ord_"), "{:?}", lost.rows);
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_is_no_legs_is_found() {
    with_stores(async |own| {
        let sound = sound(&own).await;
        damage(
            &own,
            sound.payee,
            "UPDATE entries SET xid = UNHEX(REPEAT('ab', 16)) WHERE number = 11",
        )
        .await;
        let report = run(&own).await;
        assert_eq!(named(&report), ["INV-1", "INV-4"], "{:?}", report.breaches);
    })
    .await;
}

#[tokio::test]
async fn damaged_orders_are_found() {
    with_stores(async |own| {
        let sound = sound(&own).await;
        let shard = own.routing().order_shard(sound.orders[0].id);
        let pool = own.pool(shard);
        for (harm, repair, name) in [
            (
                "UPDATE orders SET captured = captured + 1",
                "UPDATE orders SET captured = captured - 1",
                "INV-6",
            ),
            (
                "UPDATE orders SET version = version - 1",
                "UPDATE orders SET version = version + 1",
                "INV-6",
            ),
            (
                "UPDATE orders SET amount = amount + 1, captured = captured + (captured > 0)",
                "UPDATE orders SET amount = amount - 1, captured = captured - (captured > 0)",
                "INV-6",
            ),
            (
                "UPDATE orders SET refunded = 11",
                "UPDATE orders SET refunded = 0",
                "INV-3",
            ),
            (
                "UPDATE orders SET next_attempt_at = created_at",
                "UPDATE orders SET next_attempt_at = NULL",
                "INV-5",
            ),
        ] {
            sqlx::query(harm).execute(pool).await.unwrap();
            let report = run(&own).await;
            assert_eq!(named(&report), [name], "{harm}: {:?}", report.breaches);
            sqlx::query(repair).execute(pool).await.unwrap();
        }
        sqlx::query("DELETE FROM orders WHERE seq > 0 LIMIT 1")
            .execute(pool)
            .await
            .unwrap();
        let report = run(&own).await;
        assert!(named(&report).contains(&"INV-5"), "{:?}", report.breaches);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_down_is_told_and_what_it_hides_is_not_called_wrong() {
    with_stores(async |own| {
        sound(&own).await;
        for store in ["order", "account"] {
            let mut settings = own.settings.clone();
            settings.connect_timeout_ms = 300;
            let down = "mysql://root@127.0.0.1:1/down".to_owned();
            match store {
                "order" => settings.order_shards[0] = down,
                _account => settings.account_shards[0] = down,
            }
            let stores = store::Stores::connect(&settings).unwrap();
            let report = run(&stores).await;
            assert_eq!(report.breaches, []);
            let names: Vec<_> = report
                .unreachable
                .iter()
                .map(|u| u.shard.as_str())
                .collect();
            assert_eq!(names, [format!("{store}s-0")]);
            stores.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_nothing_is_called_wrong() {
    with_stores(async |own| {
        let (payer, payee) = (own.account_on(0, 100_000).await, own.account_on(1, 0).await);
        let log = own.order_log(OrderLogSettings::default());
        let settings = CoordinatorSettings::default();
        let engine = Coordinator::new(log, own.account_participant(), own.shards(), settings);
        let done = std::sync::atomic::AtomicBool::new(false);
        engine.run(vec![order(payer, payee, 1)]).await;
        let load = async {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let batch = (0..20)
                    .map(|i| order(payer, payee, 1 + i % 2 * 100_000))
                    .collect();
                engine.run(batch).await;
            }
        };
        let verify = async {
            for _ in 0..3 {
                let report = run(&own).await;
                assert_eq!(report.breaches, []);
                assert!(report.counted.orders > 0);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        tokio::join!(load, verify);
    })
    .await;
}
