//! INV-1 to INV-7 of a scenario's databases, by name. INV-8 is [`Scenario::assert_progress`].
//!
//! Nothing follows these databases, so of INV-6 they show only what search orders by: the version
//! grew exactly once since the order was logged. The rest of it is asserted where a follower runs.

use crate::scenario::Scenario;
use domain::{OrderState, StoreKind};
use saga::{Answer, Outcome};
use sqlx::MySqlPool;
use store::PaymentOrder;

const ORDERS: &str = "SELECT CONCAT_WS(' ', HEX(id), state, reason, version, captured, updated_at)
 FROM orders ORDER BY id";
const ACCOUNTS: &str = "SELECT CONCAT_WS(' ', HEX(id), status, ledger_balance, held, last_entry)
 FROM accounts ORDER BY id";
const HOLDS: &str =
    "SELECT CONCAT_WS(' ', HEX(xid), leg, HEX(account), amount, captured, state, reason)
 FROM holds ORDER BY xid, leg";
const ENTRIES: &str =
    "SELECT CONCAT_WS(' ', HEX(xid), leg, HEX(account), number, delta, balance_after)
 FROM entries ORDER BY xid, leg";

pub async fn assert_right(scenario: &Scenario) {
    assert_verified(scenario).await;
    let accepted = scenario.accepted();
    for order in &accepted {
        assert_kept(scenario, order).await;
    }
    assert_idempotent(scenario, &accepted).await;
    assert_verified(scenario).await;
}

/// INV-1 to INV-6 as far as the rows show them.
async fn assert_verified(scenario: &Scenario) {
    let report = store::verify::run(&scenario.own).await;
    if let Some(breach) = report.breaches.first() {
        let rows = breach.rows.join("\n");
        panic!("{} is breached: {}\n{rows}", breach.invariant, breach.text);
    }
    assert_eq!(report.unreachable, [], "what was not read was not verified");
    assert_eq!(report.in_flight, 0, "INV-8 is breached: some never ended");
}

/// INV-7, INV-2, INV-6: it is there, as it was asked for, with one outcome, told once.
async fn assert_kept(scenario: &Scenario, order: &PaymentOrder) {
    let Some(row) = scenario.row(order).await else {
        panic!("INV-7 is breached: {} is lost", order.id);
    };
    let (asked, kept) = (
        (order.amount, order.body_digest, &order.legs[..]),
        (row.amount, row.body_digest, &row.legs[..]),
    );
    assert_eq!(asked, kept, "INV-7 is breached: {} was altered", order.id);
    let ended = matches!(row.state, OrderState::Paid | OrderState::Cancelled);
    assert!(ended, "INV-2 is breached: {} is {:?}", order.id, row.state);
    assert_eq!(row.version, 2, "INV-6 is breached: {}", order.id);
}

/// INV-4: everything delivered twice more answers what the rows say, and leaves them as they are.
async fn assert_idempotent(scenario: &Scenario, accepted: &[PaymentOrder]) {
    let before = rows(scenario).await;
    let twice = [accepted, accepted].concat();
    let answers = scenario.run(&twice).await;
    for (order, answer) in twice.iter().zip(&answers) {
        let told = match answer {
            Answer::Done { outcome, .. } => match outcome {
                Outcome::Confirmed => Some(OrderState::Paid),
                Outcome::Cancelled => Some(OrderState::Cancelled),
            },
            Answer::Waiting { .. } | Answer::Parked { .. } | Answer::Dead { .. } => None,
        };
        let stands = scenario.state(order).await;
        assert_eq!(told, stands, "INV-2 is breached: {}: {answer:?}", order.id);
    }
    assert_eq!(before, rows(scenario).await, "INV-4 is breached");
}

/// Every row that matters, as text.
pub async fn rows(scenario: &Scenario) -> Vec<String> {
    let mut all = Vec::new();
    for shard in scenario.own.names() {
        let tables: &[&'static str] = match shard.store {
            StoreKind::Orders => &[ORDERS],
            StoreKind::Accounts => &[ACCOUNTS, HOLDS, ENTRIES],
        };
        for table in tables {
            all.extend(texts(scenario.own.pool(shard), table).await);
        }
    }
    all
}

async fn texts(pool: &MySqlPool, question: &'static str) -> Vec<String> {
    sqlx::query_scalar(question).fetch_all(pool).await.unwrap()
}
