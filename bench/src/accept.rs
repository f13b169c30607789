//! `accept`: POST to 202 at increasing load, the API and the bare echo in turn.
//!
//! A closed loop: each connection sends its next order when it has the answer to the last one. The
//! consumer and the follower are stopped, so both doors have the machine to themselves, the client
//! and the broker aside.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use stack::{ServerName, Stack};

use crate::accounts::Accounts;
use crate::cpu::CpuMeter;
use crate::echo::{self, Echo};
use crate::http_client::Connection;
use crate::measured::{AcceptLevel, AcceptRun, PeakMemory, Run};
use crate::order_requests as requests;
use crate::samples::Latencies;
use crate::{bench_stack, say};

/// Connections at each level.
const LEVELS: [usize; 5] = [1, 4, 16, 64, 128];
/// Runs before each measured one, unmeasured.
const WARM_UP: Duration = Duration::from_millis(300);

/// A door and what is needed to knock.
struct Door<'a> {
    url: &'a str,
    token: Option<&'a str>,
    accounts: &'a Accounts,
}

/// Measures every level `runs` times, each run for so long.
pub async fn run(
    stack: &Stack,
    accounts: &Accounts,
    token: &str,
    runs: usize,
    each: Duration,
    peaks: &mut PeakMemory,
) -> Result<Vec<AcceptLevel>> {
    for name in [ServerName::Consumer(1), ServerName::CdcSync] {
        peaks.stop(stack, name).await?;
    }
    bench_stack::start(stack, &[ServerName::OrderApi]).await?;
    let echo = Echo::start(&stack.env().kafka_brokers).await?;
    let api = Door {
        url: &stack.env().api_url,
        token: Some(token),
        accounts,
    };
    let bare = Door {
        url: &echo.url,
        token: None,
        accounts,
    };
    let mut levels = Vec::new();
    for connections in LEVELS {
        let mut level = AcceptLevel {
            connections,
            api: Vec::new(),
            echo: Vec::new(),
        };
        for _ in 0..runs {
            level
                .api
                .push(knock(stack, &echo, &api, connections, each).await?);
            level
                .echo
                .push(knock(stack, &echo, &bare, connections, each).await?);
        }
        say(&format!("accept: {}", level.summary()));
        levels.push(level);
    }
    echo.stop().await?;
    Ok(levels)
}

/// One run at one door.
async fn knock(
    stack: &Stack,
    echo: &Echo,
    door: &Door<'_>,
    connections: usize,
    each: Duration,
) -> Result<AcceptRun> {
    let opening = (0..connections).map(|_| Connection::open(door.url, door.token));
    let mut connections = try_join_all(opening).await?;
    knock_for(&mut connections, door.accounts, WARM_UP).await?;
    let meter = CpuMeter::start(stack, &[echo.watched()?])?;
    let begun = Instant::now();
    let latencies = knock_for(&mut connections, door.accounts, each).await?;
    let run = Run {
        orders: usize::try_from(latencies.count())?,
        took: begun.elapsed(),
        cpu: meter.stop()?,
    };
    Ok(AcceptRun { run, latencies })
}

async fn knock_for(
    connections: &mut [Connection],
    accounts: &Accounts,
    each: Duration,
) -> Result<Latencies> {
    let deadline = Instant::now() + each;
    let lanes = connections.iter_mut().map(|connection| async move {
        let mut latencies = Latencies::new();
        while Instant::now() < deadline {
            let transfer = accounts.draw(&mut rand::rng());
            let sent = Instant::now();
            requests::accept(connection, &transfer, "accept").await?;
            latencies.record(sent.elapsed());
        }
        anyhow::Ok(latencies)
    });
    let mut all = Latencies::new();
    for latencies in try_join_all(lanes).await? {
        all.add(&latencies);
    }
    Ok(all)
}

/// Whether a process belongs to what is measured at the API's door.
pub fn is_api(name: &str) -> bool {
    name == ServerName::OrderApi.to_string()
}

/// Whether a process belongs to what is measured at the echo's door.
pub fn is_echo(name: &str) -> bool {
    name == echo::NAME
}
