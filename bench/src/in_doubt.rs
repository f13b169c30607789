//! Orders as workers leave them that die between two rounds: logged, and a third each with nothing
//! more, with their money reserved, and decided to be paid.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use domain::{LegKind, ShardName};
use saga::{Branch, Decision, Participant, Pass, TransactionLog, TryOutcome, Verdict};
use sqlx::Acquire;
use stack::Stack;
use store::{AccountLeg, OrderLog, OrderLogSettings, PaymentOrder, Stores, StoresSettings};

use crate::accounts::Accounts;
use crate::backlog;

/// As many as the consumer has in a batch.
const BATCH: usize = 500;

/// How far a worker got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Logged,
    Reserved,
    Decided,
}

/// Leaves so many orders in doubt, and due at once. All of them can be paid.
pub async fn leave(stack: &Stack, accounts: &Accounts, orders: usize) -> Result<()> {
    let settings = StoresSettings {
        order_shards: stack.env().order_shards.clone(),
        account_shards: stack.env().account_shards.clone(),
        ..StoresSettings::default()
    };
    let stores = Stores::connect(&settings)?;
    let mut made = 0;
    for left in [Left::Logged, Left::Reserved, Left::Decided].iter().cycle() {
        let count = BATCH.min(orders - made);
        if count == 0 {
            break;
        }
        leave_batch(&stores, draw(accounts, count)?, *left).await?;
        made += count;
    }
    stores.close().await;
    Ok(())
}

/// Sorted as the engine sorts.
fn draw(accounts: &Accounts, count: usize) -> Result<Vec<PaymentOrder>> {
    let mut rng = rand::rng();
    let orders = (0..count).map(|place| {
        let command = backlog::command(&accounts.draw(&mut rng))?;
        Ok(PaymentOrder::new(command, u32::try_from(place)?))
    });
    let mut orders = orders.collect::<Result<Vec<_>>>()?;
    orders.sort_by_key(|order| order.id);
    Ok(orders)
}

async fn leave_batch(stores: &Stores, orders: Vec<PaymentOrder>, left: Left) -> Result<()> {
    let log = stores.order_log(OrderLogSettings {
        lease_ms: 0,
        ..OrderLogSettings::default()
    });
    let mut homes: BTreeMap<ShardName, Vec<PaymentOrder>> = BTreeMap::new();
    for order in &orders {
        let home = stores.routing().order_shard(order.id);
        homes.entry(home).or_default().push(order.clone());
    }
    for (home, orders) in &homes {
        let mut conn = stores.pool(*home).acquire().await?;
        let mut transaction = conn.begin().await?;
        log.begin(&mut transaction, orders, Pass::First).await?;
        transaction.commit().await?;
    }
    if left == Left::Logged {
        return Ok(());
    }
    reserve(stores, &log, &orders).await?;
    if left == Left::Reserved {
        return Ok(());
    }
    for (home, orders) in &homes {
        let mut conn = stores.pool(*home).acquire().await?;
        let decide = |order| Decision {
            xid: log.xid(order),
            verdict: Verdict::Confirm,
        };
        let decisions: Vec<Decision> = orders.iter().map(decide).collect();
        log.decide(&mut conn, &decisions).await?;
    }
    Ok(())
}

async fn reserve(stores: &Stores, log: &OrderLog, orders: &[PaymentOrder]) -> Result<()> {
    let mut homes: BTreeMap<ShardName, Vec<Branch<AccountLeg>>> = BTreeMap::new();
    for order in orders {
        let mut branches = Vec::new();
        log.branches(order, &mut branches);
        for branch in branches {
            if branch.payload.kind == LegKind::Debit {
                let home = stores.routing().account_shard(branch.payload.account);
                homes.entry(home).or_default().push(branch);
            }
        }
    }
    for (home, debits) in &homes {
        let mut conn = stores.pool(*home).acquire().await?;
        let mut transaction = conn.begin().await?;
        let participant = stores.account_participant();
        let tried = participant
            .try_reserve(&mut transaction, debits, Pass::First)
            .await?;
        transaction.commit().await?;
        ensure!(
            tried.iter().all(|outcome| *outcome == TryOutcome::Reserved),
            "a payer of the bench lacks funds"
        );
    }
    Ok(())
}
