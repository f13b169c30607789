//! Makes open orders due at once, in sets of one page: the sweepers take them within their idle
//! time. Their attempts start over at 0, so that the backoff does, and so that an order that gets
//! stuck again is told of again; their last causes stay until the next attempt.

use super::{NAMED_MAX, Orders, Progress};
use crate::cause;
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
        Orders::Named(ids) => Ok(redrive_named(&stores, ids, yes).await),
        Orders::Matching { stuck, cause } => {
            let filter = Filter {
                stuck_after_attempts: stuck.then_some(settings.coordinator.stuck_after_attempts),
                cause: cause.clone(),
            };
            Ok(redrive_matching(&stores, &down, &filter, yes).await)
        }
    }
}

/// The shards whose orders could not be made due, and why.
type Failed = BTreeMap<ShardName, String>;

async fn redrive_named(stores: &Stores, ids: &[OrderId], yes: bool) -> ExitCode {
    let found = stores.orders.find(ids).await;
    let mut open: BTreeMap<ShardName, Vec<OrderId>> = BTreeMap::new();
    for (id, found) in ids.iter().zip(&found) {
        if is_open(found) {
            let shard = stores.routing().order_shard(*id);
            open.entry(shard).or_default().push(*id);
        }
    }
    let failed = match yes {
        true => make_all_due(stores, &open).await,
        false => Failed::new(),
    };
    let mut told = Told::default();
    for (id, found) in ids.iter().zip(&found) {
        let failure = failed.get(&stores.routing().order_shard(*id));
        println!("{id}: {}", told.order(*id, found, failure, yes));
    }
    if !yes && !open.is_empty() {
        println!("Nothing was changed. Run it again with --yes.");
    }
    ExitCode::from(told.exit_code())
}

fn is_open(found: &Lookup) -> bool {
    match found {
        Lookup::Found(row) => match row.state {
            OrderState::Trying | OrderState::Confirming | OrderState::Cancelling => true,
            OrderState::Paid | OrderState::Cancelled => false,
        },
        Lookup::Missing | Lookup::Unreachable(_) | Lookup::Unreadable(_) => false,
    }
}

/// Makes the open orders of each shard due; one that fails does not keep the others waiting.
async fn make_all_due(stores: &Stores, open: &BTreeMap<ShardName, Vec<OrderId>>) -> Failed {
    let mut failed = Failed::new();
    for (shard, ids) in open {
        if let Err(error) = make_due(stores, *shard, ids).await {
            failed.insert(*shard, cause::told(&error));
        }
    }
    failed
}

/// What was said of the orders that were named.
#[derive(Default)]
struct Told {
    refused: bool,
    silent: bool,
}

impl Told {
    /// What became of this order, where making its shard's orders due may have failed.
    fn order(
        &mut self,
        id: OrderId,
        found: &Lookup,
        failure: Option<&String>,
        yes: bool,
    ) -> String {
        match (found, failure) {
            (Lookup::Found(row), Some(cause)) if is_open(found) => {
                self.silent = true;
                format!("{}, and was not made due: {cause}", word(row.state))
            }
            (Lookup::Found(row), _) if is_open(found) => {
                let due = if yes { "is" } else { "would be" };
                format!("{}, {due} tried at once", word(row.state))
            }
            (Lookup::Found(row), _) => {
                self.refused = true;
                format!("{} already", word(row.state))
            }
            (Lookup::Missing, _) => {
                self.refused = true;
                format!("has no row: `holdfast find {id}` tells where it is")
            }
            (Lookup::Unreachable(cause) | Lookup::Unreadable(cause), _) => {
                self.silent = true;
                cause.clone()
            }
        }
    }

    fn exit_code(&self) -> u8 {
        match (self.silent, self.refused) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }
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
    let not_read = open_orders::read_all(stores, down, None, async |shard, page| {
        let page: Vec<OpenOrder> = page.into_iter().filter(|o| filter.takes(o)).collect();
        let ids: Vec<OrderId> = page.iter().map(|order| order.id).collect();
        let made_due = match yes && !ids.is_empty() {
            true => make_due(stores, shard, &ids).await?,
            false => 0,
        };
        // A page that failed is not among what was met: nobody knows how many of it had ended.
        met.page(shard, &page, made_due);
        progress.at(met.totals.orders(), "orders");
        Ok(())
    })
    .await;
    print!("{}", told(&met, yes, not_read.is_empty()));
    for (shard, cause) in &not_read.silent {
        println!("{shard} WAS NOT DONE TO ITS END: {cause}");
    }
    for (shard, row) in &not_read.rows {
        println!("{shard}: {row}");
    }
    match not_read.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(2),
    }
}

impl Met {
    fn page(&mut self, shard: ShardName, page: &[OpenOrder], made_due: u64) {
        for order in page {
            let cause = order.last_cause.as_deref();
            self.totals
                .add(&shard.to_string(), word(order.state), cause);
            if self.named.len() < NAMED_MAX {
                self.named.push(named(order));
            }
        }
        self.made_due += made_due;
    }
}

fn named(order: &OpenOrder) -> String {
    let state = word(order.state);
    format!("  {}  {state}, {} attempts", order.id, order.attempts)
}

fn told(met: &Met, yes: bool, all_was_done: bool) -> String {
    let orders = met.totals.orders();
    if orders == 0 && all_was_done {
        return "No open order is like that.\n".to_owned();
    }
    if orders == 0 {
        return "No order was redriven where that could be done.\n".to_owned();
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
    use crate::open_orders::samples::{order, row};
    use domain::StoreKind;

    const SHARD: ShardName = ShardName {
        store: StoreKind::Orders,
        index: 0,
    };

    #[test]
    fn what_had_ended_is_counted_of_pages_that_were_made_due() {
        let mut met = Met::default();
        met.page(SHARD, &[order(), order(), order()], 2);
        let text = told(&met, true, false);
        assert!(
            text.starts_with("2 orders are tried at once (1 had ended meanwhile)"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_said_to_be_absent_while_a_shard_was_not_done() {
        let done = told(&Met::default(), true, true);
        assert!(done.contains("No open order is like that"), "{done}");
        let not_done = told(&Met::default(), true, false);
        assert!(not_done.contains("where that could be done"), "{not_done}");
    }

    #[test]
    fn a_named_order_that_was_not_found_or_not_asked_for_has_its_exit_code() {
        let id = order().id;
        let mut told = Told::default();
        assert_eq!(told.exit_code(), 0);
        told.order(id, &Lookup::Missing, None, true);
        assert_eq!(told.exit_code(), 1);
        let silent = Lookup::Unreachable("connection refused".to_owned());
        assert_eq!(told.order(id, &silent, None, true), "connection refused");
        assert_eq!(told.exit_code(), 2);
    }

    #[test]
    fn an_order_is_tried_at_once_only_when_it_was_made_due() {
        let confirming = Lookup::Found(Box::new(store::OrderRow {
            state: OrderState::Confirming,
            reason: None,
            ..row()
        }));
        let id = order().id;
        let mut told = Told::default();
        let said = told.order(id, &confirming, None, true);
        assert_eq!(
            (said.as_str(), told.exit_code()),
            ("confirming, is tried at once", 0)
        );
        let failure = "orders-0 cannot answer now".to_owned();
        let said = told.order(id, &confirming, Some(&failure), true);
        assert!(said.contains("was not made due: orders-0 cannot"), "{said}");
        assert_eq!(told.exit_code(), 2);
        // One that had ended was not to be made due.
        let mut told = Told::default();
        let said = told.order(id, &Lookup::Found(Box::new(row())), Some(&failure), true);
        assert_eq!((said.as_str(), told.exit_code()), ("cancelled already", 1));
    }

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
