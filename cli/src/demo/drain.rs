//! Waits until every order of the run has ended, and counts how.

use super::progress::Progress;
use anyhow::bail;
use chrono::{DateTime, Utc};
use domain::{OrderId, OrderState, Reason};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};
use store::{Lookup, OrderRow, Stores};

const ASK_EVERY: Duration = Duration::from_millis(200);
const IDS_PER_QUESTION: usize = 500;

/// How the orders of a run ended.
#[derive(Debug, Default)]
pub struct Drained {
    /// Orders whose money moved.
    pub paid: usize,
    /// Orders whose money did not move, by reason.
    pub cancelled_by_reason: BTreeMap<Reason, usize>,
    /// What the paid ones come to, in minor units.
    pub paid_minor_units: i64,
    /// When the last one ended.
    pub last_at: DateTime<Utc>,
}

/// Waits for all of them. Gives up when none has ended for as long as `patience`.
pub async fn drain(
    stores: &Stores,
    orders: &[OrderId],
    patience: Duration,
) -> anyhow::Result<Drained> {
    let progress = Progress::start("Waiting for every outcome", orders.len());
    let mut open: HashSet<OrderId> = orders.iter().copied().collect();
    let all = open.len();
    let mut drained = Drained::default();
    let mut last_end = Instant::now();
    loop {
        let before = open.len();
        let waiting = ask(stores, &mut open, &mut drained).await;
        progress.set(all - open.len());
        if open.is_empty() {
            progress.finish();
            return Ok(drained);
        }
        if open.len() < before {
            last_end = Instant::now();
        } else if last_end.elapsed() > patience {
            bail!(stuck(&open, &waiting, patience));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What the open orders wait for, by how many.
type Waiting = BTreeMap<String, usize>;

async fn ask(stores: &Stores, open: &mut HashSet<OrderId>, drained: &mut Drained) -> Waiting {
    let mut waiting = Waiting::new();
    let ids: Vec<OrderId> = open.iter().copied().collect();
    for ids in ids.chunks(IDS_PER_QUESTION) {
        for (id, answer) in ids.iter().zip(stores.orders.find(ids).await) {
            let why = match answer {
                Lookup::Found(row) if drained.take(&row) => {
                    open.remove(id);
                    continue;
                }
                Lookup::Found(row) => match row.last_cause {
                    Some(cause) => format!("{:?}, last attempt: {cause}", row.state),
                    None => format!("{:?}", row.state),
                },
                Lookup::Missing => "not yet read from Kafka by a consumer".to_owned(),
                Lookup::Unreachable(cause) | Lookup::Unreadable(cause) => cause,
            };
            *waiting.entry(why).or_default() += 1;
        }
    }
    waiting
}

impl Drained {
    /// Counts the order if it has ended.
    fn take(&mut self, row: &OrderRow) -> bool {
        match (row.state, row.reason) {
            (OrderState::Paid, _) => {
                self.paid += 1;
                self.paid_minor_units += row.amount;
            }
            (OrderState::Cancelled, Some(reason)) => {
                *self.cancelled_by_reason.entry(reason).or_default() += 1;
            }
            (OrderState::Cancelled, None)
            | (OrderState::Trying | OrderState::Confirming | OrderState::Cancelling, _) => {
                return false;
            }
        }
        self.last_at = self.last_at.max(row.updated_at);
        true
    }
}

fn stuck(open: &HashSet<OrderId>, waiting: &Waiting, patience: Duration) -> String {
    let mut text = format!(
        "no order has ended for {patience:?}, and {} are open:\n",
        open.len()
    );
    for (why, count) in waiting {
        text.push_str(&format!("  {count} {why}\n"));
    }
    if let Some(id) = open.iter().min() {
        text.push_str(&format!("`holdfast find {id}` tells more of one of them"));
    }
    text
}
