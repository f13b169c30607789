//! `alone`: one order at a time, from the request to the answer that it is paid.

use std::time::Instant;

use anyhow::{Result, ensure};
use hyper::StatusCode;
use stack::Stack;

use crate::accounts::Accounts;
use crate::cpu::CpuMeter;
use crate::http_client::Connection;
use crate::measured::{AloneRun, Run};
use crate::order_requests as requests;
use crate::samples::Latencies;

/// Orders before the clock starts. They fill caches and connections, and let the virtual machines of
/// Kafka and Elasticsearch compile what they run, which takes a whole core at first.
const WARM_UP: usize = 400;

/// Runs so many orders, one after the other, on one connection.
pub async fn run(
    stack: &Stack,
    accounts: &Accounts,
    token: &str,
    orders: usize,
) -> Result<AloneRun> {
    let mut connection = Connection::open(&stack.env().api_url, Some(token)).await?;
    for _ in 0..WARM_UP {
        pay(&mut connection, accounts).await?;
    }
    let mut latencies = Latencies::new();
    let meter = CpuMeter::start(stack, &[])?;
    let begun = Instant::now();
    for _ in 0..orders {
        let sent = Instant::now();
        pay(&mut connection, accounts).await?;
        latencies.record(sent.elapsed());
    }
    let run = Run {
        orders,
        took: begun.elapsed(),
        cpu: meter.stop()?,
    };
    Ok(AloneRun { run, latencies })
}

async fn pay(connection: &mut Connection, accounts: &Accounts) -> Result<()> {
    let mut rng = rand::rng();
    let key = requests::new_key(&mut rng);
    let headers = [("idempotency-key", key.as_str()), ("prefer", "wait=10")];
    let body = requests::body(&accounts.draw(&mut rng), "alone");
    let answer = connection.post(requests::PATH, &headers, body).await?;
    let order = answer.expect(StatusCode::OK)?;
    ensure!(
        order["status"] == "paid",
        "the order is {}",
        order["status"]
    );
    Ok(())
}
