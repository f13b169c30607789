//! `holdfast stuck`: the open orders that a person should know of, and what would unstick them.
//!
//! Every open order is looked at, in pages of one instant a shard; only counts are kept. The listing
//! prints as it reads. Orders move while sweepers attempt them, so a listing that goes on from
//! where another stopped may tell of an order twice.

mod listing;
mod place;
mod remedy;

use crate::open_orders::{self, Down, Look, NotRead, word};
use crate::settings::Settings;
use crate::totals::{Total, Totals};
use domain::ShardName;
use listing::Listed;
use place::Place;
use serde::Serialize;
use std::io::{Write, stdout};
use std::process::ExitCode;
use store::{OpenOrder, Stores};

/// What to list.
#[derive(Debug, clap::Args)]
pub struct StuckArgs {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Also orders that are only due.
    #[arg(long)]
    all: bool,
    /// How many orders to list; all are counted.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u64,
    /// Go on from where the last listing stopped.
    #[arg(long, value_name = "CURSOR")]
    after: Option<Place>,
}

/// What stands under a listing.
#[derive(Debug, Serialize)]
struct Summary {
    stuck: u64,
    overdue: u64,
    due: u64,
    totals: Vec<Total>,
    /// Where the next listing goes on, when not all fitted.
    after: Option<String>,
    unreachable: Vec<Unreachable>,
    unreadable: Vec<Unreadable>,
}

#[derive(Debug, Serialize)]
struct Unreachable {
    shard: String,
    cause: String,
}

/// A row that nothing can be told of.
#[derive(Debug, Serialize)]
struct Unreadable {
    shard: String,
    row: String,
}

/// Lists, and exits 1 when anything is stuck or overdue, 2 when that cannot be told of every shard,
/// or not of every order.
pub async fn run(settings: &Settings, args: &StuckArgs) -> anyhow::Result<ExitCode> {
    let stores = Stores::connect(&settings.stores)?;
    let down: Down = stores.check_identities().await?.into_iter().collect();
    let mut listing = Listing::new(settings, args, &stores, &down);
    listing.begin()?;
    let from = args.after.map(|place| (place.shard, place.place));
    let mut not_read = open_orders::read_all(&stores, &down, from, async |shard, page| {
        listing.page(shard, &page)
    })
    .await;
    not_read
        .silent
        .extend(open_orders::silent_account_shards(&down));
    let needs_a_look = listing.stuck + listing.overdue > 0;
    let all_was_read = not_read.is_empty();
    listing.end(not_read)?;
    Ok(match (all_was_read, needs_a_look) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    })
}

struct Listing<'a> {
    args: &'a StuckArgs,
    stores: &'a Stores,
    down: &'a Down,
    stuck_after_attempts: u32,
    listed: u64,
    /// The last one listed.
    last: Option<Place>,
    more: bool,
    stuck: u64,
    overdue: u64,
    due: u64,
    totals: Totals,
}

impl<'a> Listing<'a> {
    fn new(settings: &Settings, args: &'a StuckArgs, stores: &'a Stores, down: &'a Down) -> Self {
        Self {
            args,
            stores,
            down,
            stuck_after_attempts: settings.coordinator.stuck_after_attempts,
            listed: 0,
            last: args.after,
            more: false,
            stuck: 0,
            overdue: 0,
            due: 0,
            totals: Totals::default(),
        }
    }

    fn begin(&self) -> anyhow::Result<()> {
        if self.args.json {
            writeln!(stdout(), "{{\"orders\": [")?;
        }
        Ok(())
    }

    fn page(&mut self, shard: ShardName, page: &[OpenOrder]) -> anyhow::Result<()> {
        for order in page {
            let look = Look::of(order, self.stuck_after_attempts);
            let count = match look {
                Look::Stuck => &mut self.stuck,
                Look::Overdue => &mut self.overdue,
                Look::Due if self.args.all => &mut self.due,
                Look::Due | Look::InWork => continue,
            };
            *count += 1;
            let cause = order.last_cause.as_deref();
            self.totals
                .add(&shard.to_string(), word(order.state), cause);
            if self.listed < self.args.limit {
                self.list(shard, order, look)?;
            } else {
                self.more = true;
            }
        }
        Ok(())
    }

    fn list(&mut self, shard: ShardName, order: &OpenOrder, look: Look) -> anyhow::Result<()> {
        let listed = Listed::of(shard, order, look, self.stores.routing(), self.down);
        if self.args.json {
            let comma = if self.listed > 0 { "," } else { "" };
            writeln!(stdout(), "{comma}{}", serde_json::to_string(&listed)?)?;
        } else {
            writeln!(stdout(), "{listed}")?;
        }
        self.listed += 1;
        let place = order.place();
        self.last = Some(Place { shard, place });
        Ok(())
    }

    fn end(self, not_read: NotRead) -> anyhow::Result<()> {
        let unreachable = not_read.silent.into_iter();
        let unreachable = unreachable.map(|(shard, cause)| Unreachable {
            shard: shard.to_string(),
            cause,
        });
        let unreadable = not_read.rows.into_iter();
        let unreadable = unreadable.map(|(shard, row)| Unreadable {
            shard: shard.to_string(),
            row,
        });
        let summary = Summary {
            stuck: self.stuck,
            overdue: self.overdue,
            due: self.due,
            totals: self.totals.list(),
            after: self
                .last
                .filter(|_| self.more)
                .map(|place| place.to_string()),
            unreachable: unreachable.collect(),
            unreadable: unreadable.collect(),
        };
        if self.args.json {
            let summary = serde_json::to_string(&summary)?;
            writeln!(stdout(), "], \"summary\": {summary}}}")?;
        } else {
            write!(stdout(), "{}", told(&summary, &self.totals, self.args.all))?;
        }
        Ok(())
    }
}

fn told(summary: &Summary, totals: &Totals, all: bool) -> String {
    let Summary {
        stuck,
        overdue,
        due,
        ..
    } = summary;
    let due = if all {
        format!(", {due} due")
    } else {
        String::new()
    };
    let all_was_read = summary.unreachable.is_empty() && summary.unreadable.is_empty();
    let mut text = match (totals.orders(), all_was_read) {
        (0, true) => "Nothing is stuck.\n".to_owned(),
        (0, false) => "Nothing is stuck where we could look.\n".to_owned(),
        (_, _) => format!(
            "{stuck} stuck, {overdue} overdue{due}, by shard, state and last cause:\n{}",
            totals.lines()
        ),
    };
    if let Some(after) = &summary.after {
        text.push_str(&format!("Not all were listed; the next: --after {after}\n"));
    }
    for Unreachable { shard, cause } in &summary.unreachable {
        text.push_str(&format!("{shard} DOES NOT ANSWER: {cause}\n"));
    }
    for Unreadable { shard, row } in &summary.unreadable {
        text.push_str(&format!("{shard}: {row}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Summary {
        Summary {
            stuck: 0,
            overdue: 0,
            due: 0,
            totals: Vec::new(),
            after: None,
            unreachable: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    #[test]
    fn a_silent_shard_is_named_and_nothing_is_promised_for_it() {
        let summary = Summary {
            unreachable: vec![Unreachable {
                shard: "orders-1".into(),
                cause: "connection refused".into(),
            }],
            ..nothing()
        };
        let text = told(&summary, &Totals::default(), false);
        assert!(text.contains("where we could look"), "{text}");
        assert!(text.contains("orders-1 DOES NOT ANSWER"), "{text}");
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        let summary = Summary {
            unreadable: vec![Unreadable {
                shard: "orders-1".into(),
                row: "seq 7 is unreadable: no legs".into(),
            }],
            ..nothing()
        };
        let text = told(&summary, &Totals::default(), false);
        assert!(text.contains("where we could look"), "{text}");
        assert!(text.contains("orders-1: seq 7 is unreadable"), "{text}");
    }
}
