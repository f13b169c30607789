//! `pipeline`: from the first POST until every order is found by search, all services running.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use futures_util::future::try_join_all;
use hyper::StatusCode;
use stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::cpu::CpuMeter;
use crate::http_client::Connection;
use crate::measured::{PipelineRun, Run};
use crate::order_requests as requests;
use crate::samples::Latencies;
use crate::search_index::SearchIndex;

/// Connections that post.
const CONNECTIONS: usize = 64;
/// One order in so many is watched from paid to searchable.
const SAMPLED_ONE_IN: usize = 50;
/// How often the watched ones are searched for; the lag is told no finer, and searches are a load too.
const SEARCH_EVERY: Duration = Duration::from_millis(100);
/// How often all are counted.
const COUNT_EVERY: Duration = Duration::from_millis(100);
/// Orders that are not found so long after the last acceptance are lost.
const SEARCHABLE_WITHIN: Duration = Duration::from_secs(120);

/// The watched orders that were accepted and not yet found.
type Watched = Arc<Mutex<BTreeSet<String>>>;

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    orders: usize,
    per_second_max: Option<f64>,
}

impl Load {
    /// So many orders, as fast as they are accepted.
    pub fn burst(orders: usize) -> Self {
        Self {
            orders,
            per_second_max: None,
        }
    }

    /// So many orders, not faster than this.
    pub fn paced(orders: usize, per_second: f64) -> Self {
        Self {
            orders,
            per_second_max: Some(per_second),
        }
    }

    /// How long after the beginning an order is due.
    fn due(&self, place: usize) -> Duration {
        let seconds = self.per_second_max.map(|rate| place as f64 / rate);
        seconds.map_or(Duration::ZERO, Duration::from_secs_f64)
    }
}

/// Posts these orders under this reference and waits until all are found as paid.
pub async fn run(
    stack: &Stack,
    accounts: &Accounts,
    token: &str,
    load: Load,
    reference: &str,
) -> Result<PipelineRun> {
    let orders = load.orders;
    let mut index = SearchIndex::open(stack).await?;
    let opening = (0..CONNECTIONS).map(|_| Connection::open(&stack.env().api_url, Some(token)));
    let connections = try_join_all(opening).await?;
    let watched = Watched::default();
    let done = CancellationToken::new();
    let watching = tokio::spawn(watch(
        SearchIndex::open(stack).await?,
        Arc::clone(&watched),
        done.clone(),
    ));
    let meter = CpuMeter::start(stack, &[])?;
    let begun = Instant::now();
    post_all(connections, accounts, load, reference, &watched).await?;
    let accepted = begun.elapsed();
    while index.count_paid(reference).await? < orders {
        ensure!(
            begun.elapsed() < accepted + SEARCHABLE_WITHIN,
            "not every order became searchable within {SEARCHABLE_WITHIN:?}"
        );
        tokio::time::sleep(COUNT_EVERY).await;
    }
    let run = Run {
        orders,
        took: begun.elapsed(),
        cpu: meter.stop()?,
    };
    done.cancel();
    Ok(PipelineRun {
        run,
        accepted,
        lags: watching.await??,
    })
}

async fn post_all(
    connections: Vec<Connection>,
    accounts: &Accounts,
    load: Load,
    reference: &str,
    watched: &Watched,
) -> Result<()> {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let lanes = connections.into_iter().map(|mut connection| {
        let next = &next;
        async move {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= load.orders {
                    return anyhow::Ok(());
                }
                tokio::time::sleep_until((begun + load.due(place)).into()).await;
                let transfer = accounts.draw(&mut rand::rng());
                let answer = requests::accept(&mut connection, &transfer, reference).await?;
                if place.is_multiple_of(SAMPLED_ONE_IN) {
                    let order = answer.expect(StatusCode::ACCEPTED)?;
                    let id = order["id"].as_str().context("an order without id")?;
                    lock(watched).insert(id.to_owned());
                }
            }
        }
    });
    try_join_all(lanes).await?;
    Ok(())
}

/// Searches for the watched orders until told to stop and all are found; answers how long after its
/// payment each was found.
async fn watch(
    mut index: SearchIndex,
    watched: Watched,
    done: CancellationToken,
) -> Result<Latencies> {
    let mut lags = Latencies::new();
    loop {
        let pending: Vec<String> = lock(&watched).iter().cloned().collect();
        if pending.is_empty() && done.is_cancelled() {
            return Ok(lags);
        }
        if !pending.is_empty() {
            let ids: Vec<&String> = pending.iter().collect();
            let found = index.find_paid(&ids).await?;
            let now = Utc::now();
            for order in found {
                lags.record((now - order.paid_at).to_std().unwrap_or_default());
                lock(&watched).remove(&order.order_id);
            }
        }
        tokio::time::sleep(SEARCH_EVERY).await;
    }
}

fn lock(watched: &Watched) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}
