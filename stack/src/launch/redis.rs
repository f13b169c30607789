//! Redis from the host's packages, with an append-only file.

use std::process::Command;

use crate::downloads;
use crate::env::StackEnv;
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::name::ServerName;
use crate::process::detached;

pub(super) fn prepare(layout: &Layout, env: &StackEnv) -> Result<Command> {
    let (host, port) = super::required_address(env, ServerName::Redis)?;
    let data = layout.data(ServerName::Redis);
    std::fs::create_dir_all(&data).at(&data)?;
    let mut command = detached(&downloads::installed("redis-server")?);
    command
        .args(["--bind", &host, "--port", &port.to_string()])
        .arg("--dir")
        .arg(&data)
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
        ])
        .args(["--daemonize", "no"]);
    Ok(command)
}
