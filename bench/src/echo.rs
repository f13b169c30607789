//! The bare door that `accept` is compared with: axum and rdkafka, and nothing between them.
//!
//! It reads the body as JSON, puts it on a topic of its own, and answers 202 once the broker has
//! acknowledged: no token, no checks, no key, no Redis, no headers. It runs as a process of its own,
//! as the API does.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cpu::Watched;
use crate::{backlog, order_requests};

/// What the process is called in the report.
pub const NAME: &str = "echo";

const TOPIC: &str = "bench.echo";
/// As many as the commands' topic has.
const PARTITIONS: i32 = 12;
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);

/// The echo as its parent sees it; it is killed when this is dropped.
#[derive(Debug)]
pub struct Echo {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Echo {
    /// Starts it on a free port.
    pub async fn start(brokers: &str) -> Result<Self> {
        create_topic(brokers).await?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["echo", "--brokers", brokers])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("the echo's output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let url = line.context("the echo did not start")?;
        Ok(Self { child, url })
    }

    /// Its process.
    pub fn watched(&self) -> Result<Watched> {
        let pid = self.child.id().context("the echo has ended")?;
        Ok(Watched {
            name: NAME.to_owned(),
            pid: i32::try_from(pid)?,
        })
    }

    /// Ends it.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// The echo's own process: prints its address and serves until it is killed.
pub async fn serve(brokers: &str) -> Result<()> {
    let producer = Arc::new(backlog::producer(brokers)?);
    let router = Router::new()
        .route(order_requests::PATH, post(accept))
        .with_state(producer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn accept(
    State(producer): State<Arc<FutureProducer>>,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let answer = |status, text| (status, Json(json!({ "status": text })));
    if serde_json::from_slice::<Value>(&body).is_err() {
        return answer(StatusCode::BAD_REQUEST, "not JSON");
    }
    let key: [u8; 16] = rand::random();
    let record = FutureRecord::to(TOPIC)
        .key(key.as_slice())
        .payload(body.as_ref());
    match producer.send(record, ACKNOWLEDGED_WITHIN).await {
        Ok(_) => answer(StatusCode::ACCEPTED, "processing"),
        Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "not acknowledged"),
    }
}

async fn create_topic(brokers: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    // An existing topic is as good: what matters shows at the first record.
    admin
        .create_topics([&topic], &AdminOptions::new())
        .await
        .context("cannot make the echo's topic")?;
    Ok(())
}
