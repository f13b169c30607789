//! The statements of one batch, written before the clock starts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use domain::SlotMap;

use crate::load::CURRENCY;

/// One payment by the ids of its accounts.
#[derive(Debug, Clone, Copy)]
pub struct RawOrder {
    /// The order and its global transaction.
    pub xid: [u8; 16],
    /// Who pays.
    pub payer: [u8; 16],
    /// Who is paid.
    pub payee: [u8; 16],
    /// Minor units.
    pub amount: i64,
}

/// A statement and how many rows it must match.
#[derive(Debug, Clone)]
pub struct Step {
    /// The whole text.
    pub sql: Arc<str>,
    /// Rows inserted or matched.
    pub rows: u64,
}

/// A batch's statements by shard.
#[derive(Debug)]
pub struct Batch {
    /// By order shard.
    pub orders: [OrderShare; 2],
    /// By account shard.
    pub accounts: [AccountShare; 2],
}

/// What a batch does on one order shard. A round without steps has nothing to do there.
#[derive(Debug, Default)]
pub struct OrderShare {
    /// Round 1.
    pub log: Vec<Step>,
    /// Round 3.
    pub decide: Vec<Step>,
    /// Round 5.
    pub end: Vec<Step>,
}

/// What a batch does on one account shard.
#[derive(Debug, Default)]
pub struct AccountShare {
    /// Round 2, before the decision: the holds.
    pub hold: Vec<Step>,
    /// Round 2: locks and reads the payers; empty when there is none here.
    pub lock_payers: Arc<str>,
    /// Round 2: reads the payees without a lock; empty when there is none here.
    pub read_payees: Arc<str>,
    /// Round 2: what each order asks of its payer here, in log order.
    pub wanted: Vec<([u8; 16], i64)>,
    /// How many payees must be open.
    pub payees: usize,
    /// Round 2, after the decision: the net update of the payers.
    pub reserve: Vec<Step>,
    /// Round 4.
    pub confirm: Vec<Step>,
}

impl Batch {
    /// Writes the statements of these orders.
    pub fn of(orders: &[RawOrder], slots: &SlotMap) -> Self {
        Self {
            orders: [0, 1].map(|shard| {
                let mine = |order: &&RawOrder| slots.shard_of(&order.xid) == shard;
                order_share(&orders.iter().filter(mine).collect::<Vec<_>>())
            }),
            accounts: [0, 1].map(|shard| {
                let mine = |id: &[u8; 16]| slots.shard_of(id) == shard;
                account_share(orders, mine)
            }),
        }
    }
}

fn order_share(orders: &[&RawOrder]) -> OrderShare {
    let Some(rows) = count(orders.len()) else {
        return OrderShare::default();
    };
    let xids = list(orders.iter().map(|order| hex_literal(&order.xid)));
    let step = |sql: String| Step {
        sql: sql.into(),
        rows,
    };
    OrderShare {
        log: vec![
            step(format!(
                "INSERT INTO orders (id, merchant, payer, payee, amount, currency, state, version,
                 body_digest, description, created_at, updated_at) VALUES {}",
                list(orders.iter().map(|order| order_row(order)))
            )),
            step(format!(
                "INSERT INTO tx_log (xid, state, next_attempt_at, created_at) VALUES {}",
                list(orders.iter().map(|order| log_row(order)))
            )),
        ],
        decide: vec![step(format!(
            "UPDATE tx_log SET state = 2 WHERE xid IN ({xids}) AND state = 1"
        ))],
        end: vec![
            step(format!(
                "UPDATE orders SET state = 10, version = version + 1, updated_at = UTC_TIMESTAMP(6)
                 WHERE id IN ({xids}) AND state = 1"
            )),
            step(format!(
                "UPDATE tx_log SET state = 10, next_attempt_at = NULL
                 WHERE xid IN ({xids}) AND state = 2"
            )),
        ],
    }
}

fn order_row(order: &RawOrder) -> String {
    let xid = hex::encode(order.xid);
    let (payer, payee) = (hex::encode(order.payer), hex::encode(order.payee));
    format!(
        "(0x{xid},'shop',0x{payer},0x{payee},{},'{CURRENCY}',1,1,0x{xid}{xid},\
         'Order {xid} of the raw load',UTC_TIMESTAMP(6),UTC_TIMESTAMP(6))",
        order.amount
    )
}

fn log_row(order: &RawOrder) -> String {
    let xid = hex_literal(&order.xid);
    format!("({xid},1,UTC_TIMESTAMP(6) + INTERVAL 10 SECOND,UTC_TIMESTAMP(6))")
}

fn account_share(orders: &[RawOrder], mine: impl Fn(&[u8; 16]) -> bool) -> AccountShare {
    let mut legs = Vec::new();
    let mut wanted = Vec::new();
    // By account, so that every statement meets the rows in id order.
    let mut paid = BTreeMap::new();
    let mut received = BTreeMap::new();
    for order in orders {
        if mine(&order.payer) {
            legs.push((order.xid, 0_u8, order.payer, -order.amount));
            wanted.push((order.payer, order.amount));
            *paid.entry(order.payer).or_insert(0) += order.amount;
        }
        if mine(&order.payee) {
            legs.push((order.xid, 1, order.payee, order.amount));
            *received.entry(order.payee).or_insert(0) += order.amount;
        }
    }
    let Some(rows) = count(legs.len()) else {
        return AccountShare::default();
    };
    AccountShare {
        hold: vec![insert_holds(&legs, rows)],
        lock_payers: select("balance, held", &paid, "ORDER BY id FOR UPDATE"),
        read_payees: select("status", &received, ""),
        wanted,
        payees: received.len(),
        reserve: net_update(paid.iter().map(|(id, sum)| (id, 0, *sum))),
        confirm: [confirm_holds(&legs, rows), insert_entries(&legs, rows)]
            .into_iter()
            .chain(net_update(settled(&paid, &received)))
            .collect(),
    }
}

type RawLeg = ([u8; 16], u8, [u8; 16], i64);
type Sums = BTreeMap<[u8; 16], i64>;

fn insert_holds(legs: &[RawLeg], rows: u64) -> Step {
    let values = list(legs.iter().map(|(xid, leg, account, delta)| {
        let (xid, account, amount) = (hex_literal(xid), hex_literal(account), delta.abs());
        format!("({xid},{leg},{account},{amount},1,UTC_TIMESTAMP(6))")
    }));
    let sql =
        format!("INSERT INTO holds (xid, leg, account, amount, state, created_at) VALUES {values}");
    Step {
        sql: sql.into(),
        rows,
    }
}

fn confirm_holds(legs: &[RawLeg], rows: u64) -> Step {
    let xids = list(legs.iter().map(|(xid, ..)| hex_literal(xid)));
    let sql = format!("UPDATE holds SET state = 3 WHERE xid IN ({xids}) AND state = 1");
    Step {
        sql: sql.into(),
        rows,
    }
}

fn insert_entries(legs: &[RawLeg], rows: u64) -> Step {
    let values = list(legs.iter().map(|(xid, leg, account, delta)| {
        let (xid, account) = (hex_literal(xid), hex_literal(account));
        format!("({xid},{leg},{account},{delta},UTC_TIMESTAMP(6))")
    }));
    let sql = format!("INSERT INTO entries (xid, leg, account, delta, booked_at) VALUES {values}");
    Step {
        sql: sql.into(),
        rows,
    }
}

fn select(columns: &str, accounts: &Sums, end: &str) -> Arc<str> {
    if accounts.is_empty() {
        return "".into();
    }
    let ids = list(accounts.keys().map(hex_literal));
    format!("SELECT id, {columns} FROM accounts WHERE id IN ({ids}) {end}").into()
}

/// What the confirm changes: (account, balance, held).
fn settled<'a>(
    paid: &'a Sums,
    received: &'a Sums,
) -> impl Iterator<Item = (&'a [u8; 16], i64, i64)> {
    // No account both pays and is paid, so the two need no merging.
    let mut changes: Vec<_> = paid.iter().map(|(id, sum)| (id, -sum, -sum)).collect();
    changes.extend(received.iter().map(|(id, sum)| (id, *sum, 0)));
    changes.sort_unstable();
    changes.into_iter()
}

/// One update for all accounts; STRAIGHT_JOIN keeps the order of the list, so that two batches lock
/// the rows in the same order.
fn net_update<'a>(changes: impl Iterator<Item = (&'a [u8; 16], i64, i64)>) -> Vec<Step> {
    let mut json = String::new();
    let mut rows = 0;
    for (id, balance, held) in changes {
        let comma = if rows == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(json, r#"{comma}["{}",{balance},{held}]"#, hex::encode(id));
        rows += 1;
    }
    if rows == 0 {
        return Vec::new();
    }
    let sql = format!(
        "UPDATE JSON_TABLE('[{json}]', '$[*]' COLUMNS (id CHAR(32) PATH '$[0]',
           balance BIGINT PATH '$[1]', held BIGINT PATH '$[2]')) d
         STRAIGHT_JOIN accounts a ON a.id = UNHEX(d.id)
         SET a.balance = a.balance + d.balance, a.held = a.held + d.held"
    );
    vec![Step {
        sql: sql.into(),
        rows,
    }]
}

fn count(rows: usize) -> Option<u64> {
    (rows > 0).then_some(rows as u64)
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn hex_literal(id: &[u8; 16]) -> String {
    format!("0x{}", hex::encode(id))
}
