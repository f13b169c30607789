//! The service as it is shipped: its own process, settings from the environment, signals.

use crate::support::{Own, PATIENCE, command, eventually, with_own};
use consumer::topics::{self, TopicError};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// More than any room of the worker holds.
const BACKLOG: usize = 20_000;
pub const MEMORY_KIB_MAX: u64 = 100 * 1024;

/// A running consumer.
pub struct Process {
    child: Child,
    admin: String,
}

impl Process {
    pub async fn start(own: &Own, change: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        drop(listener);
        let (kafka, stores) = (&own.settings.kafka, &own.stores_settings);
        let child = Command::new(env!("CARGO_BIN_EXE_consumer"))
            .env(
                "HOLDFAST__STORES__ORDER_SHARDS",
                stores.order_shards.join(","),
            )
            .env(
                "HOLDFAST__STORES__ACCOUNT_SHARDS",
                stores.account_shards.join(","),
            )
            .env("HOLDFAST__KAFKA__BROKERS", &kafka.brokers)
            .env("HOLDFAST__KAFKA__COMMANDS_TOPIC", &kafka.commands_topic)
            .env(
                "HOLDFAST__KAFKA__DEAD_LETTER_TOPIC",
                &kafka.dead_letter_topic,
            )
            .env("HOLDFAST__KAFKA__RETRY_TOPIC", &kafka.retry_topic)
            .env("HOLDFAST__REDIS__URL", &own.settings.redis.url)
            .env("HOLDFAST__ADMIN__LISTEN", &admin)
            .env("HOLDFAST__WORKER__GROUP_ID", &own.settings.worker.group_id)
            .env("HOLDFAST__WORKER__SESSION_TIMEOUT_MS", "6000")
            .envs(change.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, admin }
    }

    /// The answer to a GET on the admin port, if there is one.
    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    pub async fn ready(&self) {
        eventually("the process is ready", async || {
            let answer = self.get("/readyz").await?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
    }

    pub fn memory_peak_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub async fn signal(mut self, name: &str) -> ExitStatus {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([name, &id]).status().await;
        assert!(sent.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the process ends in time").unwrap()
    }

    /// Waits for the process to die by itself.
    pub async fn died(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(!ended.expect("the process dies in time").unwrap().success());
    }

    /// Waits for the process to end by itself; answers what it said.
    async fn refusal(self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = ended.expect("the process ends in time").unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_drained_in_bounded_memory_and_a_signal_ends_it_in_order() {
    with_own(async |own| {
        let (payer, shop) = (own.account(BACKLOG as i64).await, own.account(0).await);
        let mut ids = Vec::new();
        for _ in 0..BACKLOG / 1_000 {
            let wave: Vec<_> = (0..1_000).map(|_| command(payer, shop, 1)).collect();
            ids.extend(own.send_all(&wave).await);
        }
        let process = Process::start(&own, &[]).await;
        process.ready().await;
        own.all_committed().await;
        let peak = process.memory_peak_kib();
        assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
        let metrics = process.get("/metrics").await.unwrap();
        assert!(metrics.contains("consumer_batch_size"), "{metrics}");
        assert!(process.signal("-TERM").await.success());
        assert_eq!(own.money(shop).await, (BACKLOG as i64, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_replaced_within_its_session() {
    with_own(async |own| {
        let (payer, shop) = (own.account(10_000).await, own.account(0).await);
        let doomed = Process::start(&own, &[]).await;
        doomed.ready().await;
        let mut ids = Vec::new();
        let wave = || -> Vec<_> { (0..200).map(|_| command(payer, shop, 1)).collect() };
        for _ in 0..5 {
            ids.extend(own.send_all(&wave()).await);
        }
        doomed.signal("-KILL").await;
        ids.extend(own.send_all(&wave()).await);
        let heir = Process::start(&own, &[]).await;
        own.ended(&ids).await;
        own.all_committed().await;
        assert!(heir.signal("-TERM").await.success());
        assert_eq!(own.money(shop).await, (ids.len() as i64, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_a_wrong_topic_and_a_wrong_setting_are_refused_at_start() {
    with_own(async |own| {
        let mut swapped = own.stores_settings.order_shards.clone();
        swapped.reverse();
        let swapped = [("HOLDFAST__STORES__ORDER_SHARDS", swapped.join(","))];
        let swapped = swapped
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let said = Process::start(&own, &swapped).await.refusal().await;
        assert!(said.contains("orders-"), "{said}");
        let misspelt = [("HOLDFAST__WORKER__LANE", "3")];
        let said = Process::start(&own, &misspelt).await.refusal().await;
        assert!(said.contains("lane"), "{said}");
        compact(&own).await;
        let said = Process::start(&own, &[]).await.refusal().await;
        assert!(said.contains("must not compact"), "{said}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_waited_for() {
    with_own(async |own| {
        let missing = [("HOLDFAST__KAFKA__DEAD_LETTER_TOPIC", "t.missing.dlq")];
        let process = Process::start(&own, &missing).await;
        eventually("the probe says what is missing", async || {
            let answer = process.get("/readyz").await?;
            answer.contains("holdfast setup").then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(process.signal("-TERM").await.success());
    })
    .await;
}

async fn compact(own: &Own) {
    let kafka = &own.settings.kafka;
    let admin: AdminClient<DefaultClientContext> = kafka.client_config().create().unwrap();
    let topic = ResourceSpecifier::Topic(&kafka.commands_topic);
    let change = AlterConfig::new(topic).set("cleanup.policy", "compact");
    admin
        .alter_configs([&change], &AdminOptions::new())
        .await
        .unwrap();
    let shards = own.stores.routing().order_shards();
    eventually("the broker knows that it compacts", async || {
        let checked = topics::check(kafka, &own.settings.topics, shards).await;
        matches!(checked, Err(TopicError::Unfit { .. })).then_some(())
    })
    .await;
}
