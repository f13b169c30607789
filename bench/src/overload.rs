//! `overload`: far more connections than the API has places, each asking again as soon as it is
//! answered, without regard for Retry-After. Before it and from five seconds after it on the capacity
//! is measured.
//!
//! As in `accept` the consumer and the follower are stopped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::cpu::peak_resident_mb;
use crate::http_client::{Answer, Connection};
use crate::measured::{OverloadRun, PeakMemory};
use crate::order_requests as requests;
use crate::samples::Samples;
use crate::{bench_stack, say};

const API: ServerName = ServerName::OrderApi;
/// Connections that reach the capacity.
const ENOUGH: usize = 128;
/// Twice the places for requests in hand, and more than thirty times what is enough.
const TOO_MANY: usize = 4_096;
/// Connections that are opened at once.
const OPENED_AT_ONCE: usize = 256;
/// How long the capacity is measured at a time, and within what it must be back.
const WINDOW: Duration = Duration::from_secs(5);
/// How many times it is measured on either side.
const WINDOWS: usize = 3;

/// Who asks where.
#[derive(Clone, Copy)]
struct Callers<'a> {
    url: &'a str,
    token: &'a str,
    accounts: &'a Accounts,
}

/// What they were told.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    accepted: u64,
    refused: u64,
}

/// Overloads the API for so long.
pub async fn run(
    stack: &Stack,
    accounts: &Accounts,
    token: &str,
    each: Duration,
    peaks: &mut PeakMemory,
) -> Result<OverloadRun> {
    for name in [ServerName::Consumer(1), ServerName::CdcSync] {
        peaks.stop(stack, name).await?;
    }
    bench_stack::start(stack, &[API]).await?;
    let pid = stack.handle(API).pid().context("the API does not run")?;
    let callers = Callers {
        url: &stack.env().api_url,
        token,
        accounts,
    };
    let _warming_up = callers.capacity().await?;
    let before = callers.capacities().await?;
    let mut many = callers.connect(TOO_MANY).await?;
    callers.ask(&mut many, each / 10).await?;
    let begun_mb = peak_resident_mb(pid)?;
    let begun = Instant::now();
    let told = callers.ask(&mut many, each).await?;
    let took = begun.elapsed().as_secs_f64();
    let grown_mb = peak_resident_mb(pid)? - begun_mb;
    drop(many);
    let coming_back = callers.capacity().await?;
    let after = callers.capacities().await?;
    let run = OverloadRun {
        connections: TOO_MANY,
        before,
        accepted: told.accepted as f64 / took,
        refused: told.refused as f64 / took,
        coming_back,
        after,
        grown_mb,
    };
    say(&format!("overload: {run:?}"));
    Ok(run)
}

impl Callers<'_> {
    async fn connect(&self, count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        while connections.len() < count {
            let at_once = OPENED_AT_ONCE.min(count - connections.len());
            let opening = (0..at_once).map(|_| Connection::open(self.url, Some(self.token)));
            connections.extend(try_join_all(opening).await?);
        }
        Ok(connections)
    }

    async fn capacities(&self) -> Result<Samples> {
        let mut windows = Samples::default();
        for _ in 0..WINDOWS {
            windows.0.push(self.capacity().await?);
        }
        Ok(windows)
    }

    /// Acceptances per second of one window, from the opening of the connections on.
    async fn capacity(&self) -> Result<f64> {
        let begun = Instant::now();
        let mut few = self.connect(ENOUGH).await?;
        let told = self.ask(&mut few, WINDOW).await?;
        ensure!(told.refused == 0, "refused below the capacity");
        Ok(told.accepted as f64 / begun.elapsed().as_secs_f64())
    }

    /// All connections at once, each one order after the other.
    async fn ask(&self, connections: &mut [Connection], each: Duration) -> Result<Told> {
        let deadline = Instant::now() + each;
        let lanes = connections.iter_mut().map(|connection| async move {
            let mut told = Told::default();
            while Instant::now() < deadline {
                told.add(&self.order(connection).await?)?;
            }
            anyhow::Ok(told)
        });
        let mut all = Told::default();
        for told in try_join_all(lanes).await? {
            all.accepted += told.accepted;
            all.refused += told.refused;
        }
        Ok(all)
    }

    async fn order(&self, connection: &mut Connection) -> Result<Answer> {
        let (key, transfer) = {
            let mut rng = rand::rng();
            (requests::new_key(&mut rng), self.accounts.draw(&mut rng))
        };
        let headers = [("idempotency-key", key.as_str())];
        let body = requests::body(&transfer, "overload");
        connection.post(requests::PATH, &headers, body).await
    }
}

impl Told {
    /// Accepted, or refused with the time to come again; nothing else.
    fn add(&mut self, answer: &Answer) -> Result<()> {
        match answer.status {
            StatusCode::ACCEPTED => self.accepted += 1,
            StatusCode::SERVICE_UNAVAILABLE if answer.headers.contains_key(RETRY_AFTER) => {
                self.refused += 1;
            }
            status => bail!(
                "{status} under overload: {}",
                String::from_utf8_lossy(&answer.body)
            ),
        }
        Ok(())
    }
}
