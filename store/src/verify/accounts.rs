//! One account shard at one instant (a consistent snapshot): every account against its entries and
//! open holds, every hold and entry against its order.

use super::Verification;
use super::ledger::Ledger;
use super::order_rules::{check_entry_of, check_hold};
use super::report::Breach;
use super::rows::{self, EntryFacts, HoldFacts, OrderFacts, PAGE_ROWS};
use crate::holds::HoldState;
use domain::{AccountId, OrderId, ShardName, Xid};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use std::collections::{HashMap, HashSet};

const FIRST: AccountId = AccountId::from_bytes([0; 16]);
const LAST: AccountId = AccountId::from_bytes([0xff; 16]);

/// Checks one account shard.
pub(super) async fn check(
    verification: &mut Verification<'_>,
    shard: ShardName,
) -> Result<(), sqlx::Error> {
    let mut conn = verification.pool(shard).acquire().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .execute(&mut *conn)
        .await?;
    let snapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
    let mut tx = conn.begin_with(snapshot).await?;
    let open_holds = check_holds(verification, &mut tx).await?;
    check_ledger(verification, &mut tx, &open_holds).await?;
    tx.rollback().await
}

/// Every hold against its order. Answers what open holds reserve of each account: as many as
/// there are orders in flight.
async fn check_holds(
    verification: &mut Verification<'_>,
    conn: &mut MySqlConnection,
) -> Result<HashMap<AccountId, i64>, sqlx::Error> {
    let mut open: HashMap<AccountId, i64> = HashMap::new();
    let mut after = 0;
    loop {
        let page = rows::holds(conn, after).await?;
        let Some(last) = page.last() else {
            return Ok(open);
        };
        after = last.seq;
        verification.report.counted.holds += page.len() as u64;
        for hold in page.iter().filter(|hold| hold.state == HoldState::Reserved) {
            *open.entry(hold.account).or_default() += hold.amount;
        }
        check_against_orders(verification, &page).await;
    }
}

async fn check_against_orders(verification: &mut Verification<'_>, holds: &[HoldFacts]) {
    let ids: Vec<OrderId> = holds.iter().map(|hold| hold.key.0.into()).collect();
    let found = verification.find_orders(&ids).await;
    let breaches: Vec<Breach> = holds
        .iter()
        .filter(|hold| !verification.is_unreachable(hold.key.0.into()))
        .filter_map(|hold| check_hold(hold, found.get(&hold.key.0.into())))
        .collect();
    verification.report.add(breaches);
}

async fn check_ledger(
    verification: &mut Verification<'_>,
    conn: &mut MySqlConnection,
    open_holds: &HashMap<AccountId, i64>,
) -> Result<(), sqlx::Error> {
    let mut after = FIRST;
    loop {
        let page = rows::accounts(conn, after).await?;
        let is_last = page.len() < PAGE_ROWS as usize;
        let until = match page.last() {
            Some(account) if !is_last => account.id,
            Some(_) | None => LAST,
        };
        verification.report.counted.accounts += page.len() as u64;
        let mut ledger = Ledger::new(page);
        check_entries(verification, conn, &mut ledger, after, until).await?;
        verification.report.add(ledger.finish(open_holds));
        if is_last {
            return Ok(());
        }
        after = until;
    }
}

/// The entries of the accounts after `after` up to `until`.
async fn check_entries(
    verification: &mut Verification<'_>,
    conn: &mut MySqlConnection,
    ledger: &mut Ledger,
    after: AccountId,
    until: AccountId,
) -> Result<(), sqlx::Error> {
    let mut place = (after, u64::MAX);
    loop {
        let page = rows::entries(conn, place, until).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        place = (last.account, last.number);
        verification.report.counted.entries += page.len() as u64;
        page.iter().for_each(|entry| ledger.entry(entry));
        check_postings(verification, conn, &page).await?;
    }
}

/// An entry is a leg of an order, or of a funding: two legs on one shard that sum to zero.
async fn check_postings(
    verification: &mut Verification<'_>,
    conn: &mut MySqlConnection,
    entries: &[EntryFacts],
) -> Result<(), sqlx::Error> {
    let ids: Vec<OrderId> = entries.iter().map(|entry| entry.key.0.into()).collect();
    let orders: HashMap<OrderId, OrderFacts> = verification.find_orders(&ids).await;
    let mut others: HashSet<Xid> = HashSet::new();
    let mut breaches = Vec::new();
    for entry in entries {
        match orders.get(&entry.key.0.into()) {
            Some(order) => breaches.extend(check_entry_of(entry, order)),
            None if verification.is_unreachable(entry.key.0.into()) => {}
            None => {
                others.insert(entry.key.0);
            }
        }
    }
    let others: Vec<Xid> = others.into_iter().collect();
    if !others.is_empty() {
        for (xid, total, externals) in rows::fundings(conn, &others).await? {
            if total != 0 || externals != 1 {
                let text = "a posting is neither an order's nor a funding that sums to zero";
                let row = format!("posting {xid} sum={total} external_accounts={externals}");
                breaches.push(Breach::new("INV-1", text, vec![row]));
            }
        }
    }
    verification.report.add(breaches);
    Ok(())
}
