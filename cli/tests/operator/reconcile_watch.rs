//! `holdfast reconcile --every`: what it finds as metrics.

use crate::reconcile::with_followed;
use crate::world::{Own, eventually};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// The command while it watches.
struct Watch {
    process: Child,
    address: String,
}

impl Watch {
    fn start(own: &Own) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["reconcile", "--every", "1s", "--listen", &address])
            .envs(&own.env)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, address }
    }

    async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}{path}", self.address);
        let answer = client.get(url).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// Waits until a metric has this value.
    async fn until(&self, metric: &str, value: &str) {
        let line = format!("{metric} {value}");
        eventually(&line, async || {
            let (_, text) = self.ask("/metrics").await?;
            text.lines().any(|one| one == line).then_some(())
        })
        .await;
    }

    async fn stop(mut self) {
        let pid = self.process.id().unwrap().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.unwrap().success());
        assert!(self.process.wait().await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_come_and_go_as_metrics() {
    with_followed(4, async |followed, made| {
        let missing = made.paid[0].to_string();
        let watch = Watch::start(&followed.own);
        let metric = "reconcile_differences{kind=\"missing_document\"}";
        watch.until(metric, "0").await;
        watch.until("reconcile_orders", "8").await;
        let document = followed.document(&missing).await.unwrap();
        followed.remove(&missing).await;
        watch.until(metric, "1").await;
        assert_eq!(watch.ask("/readyz").await.unwrap().0, 200);
        followed.plant(&missing, 2, &document).await;
        watch.until(metric, "0").await;
        watch.stop().await;
        followed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pace_of_nothing_and_a_repair_by_itself_are_refused() {
    for (args, field) in [
        (&["reconcile", "--every", "0s"][..], "--every"),
        (
            &["reconcile", "--every", "5m", "--repair-search"],
            "--repair-search",
        ),
        (&["reconcile", "--listen", "127.0.0.1:1"], "--every"),
    ] {
        let command = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(args)
            .output()
            .await;
        let output = command.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(field), "{said}");
    }
}
