//! The stack the bench runs on: its own root, its own copies of the release binaries, taken down and
//! emptied at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stack::{Progress, ServerName, Stack, StackOptions};

use crate::say;

/// What the services and the setup are run from.
const BINARIES: [&str; 4] = ["order-api", "consumer", "cdc-sync", "holdfast"];

/// Makes an empty stack in `root`; nothing runs yet.
pub async fn empty(root: &Path) -> Result<Stack> {
    std::fs::create_dir_all(root)?;
    let stack = Stack::create(root, StackOptions::default()).await?;
    stack.wipe_data().await?;
    // What a run that was killed had set for one of its measurements.
    let further = stack.layout().service_env();
    if further.exists() {
        std::fs::remove_file(further)?;
    }
    Ok(stack)
}

/// Copies the binaries that stand beside ours, so that a build meanwhile changes nothing, and lets
/// `holdfast setup` make the tables, topics and the index.
pub fn set_up(stack: &Stack) -> Result<()> {
    let built = built_binaries()?;
    for name in BINARIES {
        let from = built.join(name);
        std::fs::copy(&from, stack.layout().bin().join(name))
            .with_context(|| format!("{} is not built: `make bench` builds it", from.display()))?;
    }
    holdfast(stack, &["setup"])?;
    Ok(())
}

/// Starts servers or services and tells when each is ready.
pub async fn start(stack: &Stack, services: &[ServerName]) -> Result<()> {
    Ok(stack.start_all(services, show).await?)
}

/// Stops everything and removes the data, the bench's logs excepted.
pub async fn down(stack: &Stack) -> Result<()> {
    Ok(stack.wipe_data().await?)
}

/// A bearer token of this merchant with these scopes.
pub fn token(stack: &Stack, merchant: &str, scopes: &[&str]) -> Result<String> {
    let mut args = vec!["token", "--ttl", "1d", "--merchant", merchant];
    for scope in scopes {
        args.extend(["--scope", scope]);
    }
    Ok(holdfast(stack, &args)?.trim().to_owned())
}

/// Runs the operator's command on the bench's stack; answers what it printed.
fn holdfast(stack: &Stack, args: &[&str]) -> Result<String> {
    let program = stack.layout().bin().join("holdfast");
    let output = Command::new(&program)
        .args(args)
        .envs(stack.env().variables())
        .current_dir(stack.layout().root())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "`holdfast {}` failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn built_binaries() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("our own folder")?.to_path_buf())
}

fn show(name: ServerName, progress: Progress) {
    if let Progress::Ready(time) = progress {
        say(&format!("{name} ready after {:.1} s", time.as_secs_f64()));
    }
}
