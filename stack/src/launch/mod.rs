//! How each server is made ready for its first start, and what is run to start it.

mod database;
mod elasticsearch;
mod kafka;
mod mariadb;
mod mysql;
mod redis;
mod service;

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use database::note_first_start_done;
pub(crate) use elasticsearch::remove_files_outside_root;

use crate::env::{Database, StackEnv};
use crate::error::{Context, Result, StackError};
use crate::layout::Layout;
use crate::name::ServerName;

/// What to run, and how its pid will be known.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// A file the server itself writes its pid to, where the started process is only a launcher.
    pub(crate) own_pid_file: Option<PathBuf>,
}

/// Prepares a server's folders, formats its data at the first start, and tells how to start it.
pub(crate) fn prepare(name: ServerName, layout: &Layout, env: &StackEnv) -> Result<Launch> {
    let plain = |command| Launch {
        command,
        own_pid_file: None,
    };
    Ok(match (name, env.database) {
        (ServerName::Mysql(number), Database::Mysql) => plain(mysql::prepare(number, layout, env)?),
        (ServerName::Mysql(number), Database::MariaDb) => {
            plain(mariadb::prepare(number, layout, env)?)
        }
        (ServerName::Kafka, _) => plain(kafka::prepare(layout, env)?),
        (ServerName::Redis, _) => plain(redis::prepare(layout, env)?),
        (ServerName::Elasticsearch, _) => elasticsearch::prepare(layout, env)?,
        (ServerName::OrderApi | ServerName::Consumer(_) | ServerName::CdcSync, _) => {
            plain(service::prepare(name, layout, env)?)
        }
    })
}

/// Formats data in a folder beside the real one and renames it when whole, so that an interrupted
/// first start leaves nothing half done.
fn format_once(data: &Path, format: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if data.exists() {
        return Ok(());
    }
    let partial = data.with_extension("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).at(&partial)?;
    }
    std::fs::create_dir_all(&partial).at(&partial)?;
    format(&partial)?;
    std::fs::rename(&partial, data).at(data)
}

/// Runs a command to its end; its output is shown only when it fails.
fn run(what: &str, command: &mut Command) -> Result<String> {
    let output = command.output().doing(what)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(StackError::CommandFailed {
        what: what.to_owned(),
        detail: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// A database server refuses to run as root unless told so.
fn user_option() -> Option<&'static str> {
    rustix::process::getuid().is_root().then_some("--user=root")
}

fn required_address(env: &StackEnv, name: ServerName) -> Result<(String, u16)> {
    let address = env.address(name).unwrap_or_default();
    split_address(address).ok_or_else(|| StackError::BadEnvironment {
        place: "stack.env".to_owned(),
        problem: format!("{name} has no usable address: {address:?}"),
    })
}

fn split_address(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}
