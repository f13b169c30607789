//! The consumer as it is shipped, as a process of a test's own.

use crate::commands::{Commands, PARTITIONS};
use crate::databases::Own;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);
const SIGABRT: i32 = 6;

/// A process; killed when dropped.
pub struct Worker(Child);

impl Worker {
    /// A worker whose leases and waits are short, with these variables over its settings.
    pub fn start(own: &Own, commands: &Commands, more: &[(&str, &str)]) -> Self {
        let root = std::env::var("HOLDFAST_TEST_STACK")
            .expect("HOLDFAST_TEST_STACK names no stack; run this suite by `make test`");
        let root = PathBuf::from(root);
        let log = root.join(format!("log/{}.log", commands.group));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let redis = std::env::var("HOLDFAST_REDIS_URL").unwrap();
        let partitions = PARTITIONS.to_string();
        let settings = [
            ("STORES__ORDER_SHARDS", own.settings.order_shards.join(",")),
            (
                "STORES__ACCOUNT_SHARDS",
                own.settings.account_shards.join(","),
            ),
            ("KAFKA__BROKERS", commands.kafka.brokers.clone()),
            (
                "KAFKA__COMMANDS_TOPIC",
                commands.kafka.commands_topic.clone(),
            ),
            ("KAFKA__RETRY_TOPIC", commands.kafka.retry_topic.clone()),
            (
                "KAFKA__DEAD_LETTER_TOPIC",
                commands.kafka.dead_letter_topic.clone(),
            ),
            ("TOPICS__PARTITIONS", partitions),
            ("REDIS__URL", redis),
            ("ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("WORKER__GROUP_ID", commands.group.clone()),
            ("WORKER__SESSION_TIMEOUT_MS", "6000".to_owned()),
            ("ORDERS__LEASE_MS", "2000".to_owned()),
            ("SWEEPER__LEASE_MS", "2000".to_owned()),
            ("SWEEPER__IDLE_MS", "200".to_owned()),
        ];
        let child = Command::new(root.join("bin/consumer"))
            .envs(settings.map(|(name, value)| (format!("HOLDFAST__{name}"), value)))
            .envs(more.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log.try_clone().unwrap()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits for it to die at its fault point.
    pub async fn dies(mut self) {
        let status = tokio::time::timeout(PATIENCE, self.0.wait()).await;
        let status = status
            .expect("it dies; is it built with `failpoints`?")
            .unwrap();
        assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    }

    /// Whether it is the process that was started.
    pub fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// SIGTERM: it ends in order.
    pub async fn stop(mut self) {
        let id = self.0.id().unwrap().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(told.unwrap().success());
        let status = tokio::time::timeout(PATIENCE, self.0.wait()).await;
        assert!(status.expect("it ends in time").unwrap().success());
    }
}
