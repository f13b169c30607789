//! The consumer as it is shipped, in a process of its own.

use crate::world::{Own, PATIENCE, eventually};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

pub struct Consumer {
    child: Child,
    admin: String,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Consumer {
    /// Starts one with small time-outs and these settings over them, and waits until it is ready.
    pub async fn start(own: &Own, change: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("consumer.log");
        let output = File::create(&log).unwrap();
        let child = Command::new(binary())
            .env("HOLDFAST__ADMIN__LISTEN", &admin)
            .env("HOLDFAST__WORKER__SESSION_TIMEOUT_MS", "6000")
            .env("HOLDFAST__STORES__LOCK_WAIT_TIMEOUT_S", "1")
            // One, because whoever meets what was done before needs a second look.
            .env("HOLDFAST__COORDINATOR__QUICK_RETRIES_MAX", "1")
            .env("HOLDFAST__ORDERS__LEASE_MS", "2000")
            .env("HOLDFAST__SWEEPER__IDLE_MS", "100")
            .env("HOLDFAST__SWEEPER__LEASE_MS", "5000")
            .env("HOLDFAST__SWEEPER__COUNT_STUCK_EVERY_MS", "300")
            .envs(
                own.env
                    .iter()
                    .filter(|(name, _)| name.starts_with("HOLDFAST__")),
            )
            .envs(change.iter().copied())
            .stdout(Stdio::from(output.try_clone().unwrap()))
            .stderr(Stdio::from(output))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let consumer = Self {
            child,
            admin,
            log,
            _folder: folder,
        };
        eventually("the consumer is ready", async || {
            let answer = consumer.get("/readyz").await?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        consumer
    }

    pub async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("it ends in time").unwrap().success());
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The sum of a gauge over all its shards, if it was measured.
    pub async fn gauge(&self, name: &str) -> Option<f64> {
        let answer = self.get("/metrics").await?;
        let lines = answer
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        let values: Vec<f64> = values.collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the consumer said:\n{}", self.log());
        }
    }
}

fn binary() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_holdfast")).with_file_name("consumer");
    assert!(
        binary.is_file(),
        "{} is not built: run these tests by `make test`, or build the workspace's binaries first",
        binary.display()
    );
    binary
}
