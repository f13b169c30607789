//! Makes open orders due at once, in sets of one page: the sweepers take them within their idle
//! time. Their attempts start over at 0, so that the backoff does, and so that an order that gets
//! stuck again is told of again; their last causes stay until the next attempt.

use super::{NAMED_MAX, Orders, Progress};
use crate::open_orders::{self, Down, Look, word};
use crate::settings::Settings;
use crate::totals::Totals;
use domain::{OrderId, OrderState, ShardName};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use store::{Lookup, OpenOrder, StoreError, Stores};

/// How often a set is tried that meets locked rows or a lost connection.
const TRIES: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Redrives these orders.
pub async fn run(settings: &Settings, orders: &Orders, yes: bool) -> anyhow::Result<ExitCode> {
    let stores = Stores::connect(&settings.stores)?;
    let down: Down = stores.check_identities().await?.into_iter().collect();
    match orders {
        Orders::Named(ids) => redrive_named(&stores, ids, yes).await,
        Orders::Matching { stuck, cause } => {
            let filter = Filter {
                stuck_after_attempts: stuck.then_some(settings.coordinator.stuck_after_attempts),
                cause: cause.clone(),
            };
            Ok(redrive_matching(&stores, &down, &filter, yes).await)
        }
    }
}

async fn redrive_named(stores: &Stores, ids: &[OrderId], yes: bool) -> anyhow::Result<ExitCode> {
    let mut open: BTreeMap<ShardName, Vec<OrderId>> = BTreeMap::new();
    let (mut refused, mut silent) = (false, false);
    for (id, found) in ids.iter().zip(stores.orders.find(ids).await) {
        let said = match found {
            Lookup::Found(row) => match row.state {
                OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => {
                    let shard = stores.routing().order_shard(*id);
                    open.entry(shard).or_default().push(*id);
                    let due = if yes { "is" } else { "would be" };
                    format!("{}, {due} tried at once", word(row.state))
                }
                OrderState::Paid | OrderState::Cancelled => {
                    refused = true;
                    format!("{} already", word(row.state))
                }
            },
            Lookup::Missing => {
                refused = true;
                format!("has no row: `holdfast find {id}` tells where it is")
            }
            Lookup::Unreachable(cause) => {
                silent = true;
                cause
            }
        };
        println!("{id}: {said}");
    }
    for (shard, ids) in open.iter().filter(|_| yes) {
        make_due(stores, *shard, ids).await?;
    }
    if !yes && !open.is_empty() {
        println!("Nothing was changed. Run it again with --yes.");
    }
    Ok(match (silent, refused) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// What an open order must be like.
struct Filter {
    /// Stuck from so many attempts on, or overdue.
    stuck_after_attempts: Option<u32>,
    /// Part of its last cause.
    cause: Option<String>,
}

impl Filter {
    fn takes(&self, order: &OpenOrder) -> bool {
        let is_stuck = |attempts| Look::of(order, attempts).needs_a_look();
        let has = |text: &String| {
            let cause = order.last_cause.as_ref();
            cause.is_some_and(|cause| cause.contains(text))
        };
        self.stuck_after_attempts.is_none_or(is_stuck) && self.cause.as_ref().is_none_or(has)
    }
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    totals: Totals,
    named: Vec<String>,
    made_due: u64,
}

async fn redrive_matching(stores: &Stores, down: &Down, filter: &Filter, yes: bool) -> ExitCode {
    let (mut met, mut progress) = (Met::default(), Progress::new());
    let silent = open_orders::read_all(stores, down, None, async |shard, page| {
        let page: Vec<OpenOrder> = page.into_iter().filter(|o| filter.takes(o)).collect();
        for order in &page {
            let cause = order.last_cause.as_deref();
            met.totals.add(&shard.to_string(), word(order.state), cause);
            if met.named.len() < NAMED_MAX {
                met.named.push(named(order));
            }
        }
        if yes && !page.is_empty() {
            let ids: Vec<OrderId> = page.iter().map(|order| order.id).collect();
            met.made_due += make_due(stores, shard, &ids).await?;
        }
        progress.at(met.totals.orders(), "orders");
        Ok(())
    })
    .await;
    print!("{}", told(&met, yes));
    for (shard, cause) in &silent {
        println!("{shard} WAS NOT DONE TO ITS END: {cause}");
    }
    match silent.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(2),
    }
}

fn named(order: &OpenOrder) -> String {
    let state = word(order.state);
    format!("  {}  {state}, {} attempts", order.id, order.attempts)
}

fn told(met: &Met, yes: bool) -> String {
    let orders = met.totals.orders();
    if orders == 0 {
        return "No open order is like that.\n".to_owned();
    }
    let kinds = met.totals.lines();
    if yes {
        let ended = orders.saturating_sub(met.made_due);
        return format!(
            "{} orders are tried at once ({ended} had ended meanwhile):\n{kinds}",
            met.made_due
        );
    }
    let first = met.named.join("\n");
    format!(
        "{orders} orders would be tried at once:\n{kinds}The first of them:\n{first}\n\
         Nothing was changed. Run it again with --yes.\n"
    )
}

async fn make_due(stores: &Stores, shard: ShardName, ids: &[OrderId]) -> Result<u64, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match stores.orders.make_due(shard, ids).await {
            Err(StoreError::Transient { .. }) if tries < TRIES => {
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_orders::samples::order;

    #[test]
    fn a_filter_takes_what_is_stuck_and_has_the_cause() {
        let filter = |stuck: Option<u32>, cause: Option<&str>| Filter {
            stuck_after_attempts: stuck,
            cause: cause.map(str::to_owned),
        };
        let stuck = OpenOrder {
            attempts: 20,
            last_cause: Some("confirm on accounts-1: transient".to_owned()),
            ..order()
        };
        assert!(filter(Some(20), None).takes(&stuck));
        assert!(!filter(Some(20), None).takes(&order()));
        assert!(filter(None, Some("accounts-1")).takes(&stuck));
        assert!(!filter(None, Some("accounts-0")).takes(&stuck));
        assert!(!filter(None, Some("accounts-1")).takes(&order()));
        assert!(filter(Some(20), Some("accounts-1")).takes(&stuck));
    }
}
