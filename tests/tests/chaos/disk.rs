//! 34: a database server whose disk is full.

use crate::live::{Live, live};
use anyhow::{Context, Result, ensure};
use stack::ServerName;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

const SERVER: ServerName = ServerName::Mysql(1);
/// What the file system has beyond the data.
const ROOM_MIB: u64 = 96;
/// What is left of that when it is full: less than a second of orders.
const LEFT_KIB: u64 = 256;

/// The server's data on a file system of their own, in memory, with hardly any room.
struct SmallDisk {
    data: PathBuf,
    kept: PathBuf,
}

impl SmallDisk {
    /// Moves the data of a stopped server there; none where that needs rights that we lack.
    fn under(live: &Live) -> Result<Option<Self>> {
        let data = live.pipeline.stack.layout().data(SERVER);
        let kept = data.with_extension("kept");
        std::fs::rename(&data, &kept)?;
        std::fs::create_dir(&data)?;
        let disk = Self { data, kept };
        let size = run("du", &["-sm", path(&disk.kept)])?;
        let used: u64 = size.split_whitespace().next().context("du")?.parse()?;
        let options = format!("size={}m,mode=0700", used + ROOM_MIB);
        if let Err(error) = run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs", path(&disk.data)],
        ) {
            println!("NOT RUN, a small file system cannot be made here: {error:#}");
            std::fs::remove_dir(&disk.data)?;
            std::fs::rename(&disk.kept, &disk.data)?;
            return Ok(None);
        }
        copy(&disk.kept, &disk.data)?;
        Ok(Some(disk))
    }

    /// Tries again while the server takes what was free a moment ago.
    fn fill(&self) -> Result<()> {
        let mut filled = self.try_to_fill();
        for _ in 0..20 {
            if filled.is_ok() {
                break;
            }
            filled = self.try_to_fill();
        }
        filled
    }

    fn try_to_fill(&self) -> Result<()> {
        let free = run("df", &["--output=avail", "-k", path(&self.data)])?;
        let free: u64 = free.lines().last().context("df")?.trim().parse()?;
        let size = format!("{}K", free.saturating_sub(LEFT_KIB));
        run("fallocate", &["-l", &size, path(&self.filler())]).map(drop)
    }

    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.data.join("filler")
    }

    /// Moves the data of the stopped server back.
    fn leave(self) -> Result<()> {
        let _ = self.make_room();
        let fresh = self.data.with_extension("fresh");
        std::fs::create_dir(&fresh)?;
        copy(&self.data, &fresh)?;
        run("umount", &[path(&self.data)])?;
        std::fs::remove_dir(&self.data)?;
        std::fs::rename(&fresh, &self.data)?;
        Ok(std::fs::remove_dir_all(&self.kept)?)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run("cp", &["-a", &format!("{}/.", path(from)), path(to)]).map(drop)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// 34. The disk of a server is full for a while. MySQL then waits at its commits, and looks for room
/// once a minute: so whoever made room kills it, as an operator in a hurry would.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_full_disk_is_waited_for() -> Result<()> {
    live(async |live| {
        let server = live.handle(SERVER);
        server.stop().await?;
        let Some(disk) = SmallDisk::under(live)? else {
            return Ok(());
        };
        let outcome = orders_meet_a_full_disk(live, &disk).await;
        server.stop().await?;
        disk.leave()?;
        server.start().await?;
        outcome?;
        live.pipeline.assert_invariants().await
    })
    .await
}

async fn orders_meet_a_full_disk(live: &Live, disk: &SmallDisk) -> Result<()> {
    let server = live.handle(SERVER);
    server.start().await?;
    let load = live.endless_load().await?;
    sleep(Duration::from_millis(500)).await;
    disk.fill()?;
    sleep(Duration::from_secs(5)).await;
    let (rows, ended) = live.rows(&load.recorder.merchant).await?;
    println!("with a full disk: {ended} of {rows} ended");
    let log = server.log_tail(40);
    disk.make_room()?;
    server.kill().await?;
    server.start().await?;
    live.finish(load).await?;
    ensure!(
        log.contains("full") || log.contains("No space left"),
        "it was never full: {log}"
    );
    Ok(())
}
