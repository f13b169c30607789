//! What the two database servers have in common: durable settings, and the user and databases made
//! at their first start.

use std::path::{Path, PathBuf};

use crate::env::StackEnv;
use crate::error::{Context, Result, StackError};
use crate::layout::Layout;
use crate::name::ServerName;
use crate::secrets::write_private;

/// Settings that MySQL and MariaDB share, by purpose: where it listens and nothing else; durable at
/// every commit; a binlog that carries whole rows and their column names; strict and predictable
/// sessions; modest memory.
pub(super) fn common_options(number: u8, layout: &Layout, env: &StackEnv) -> Result<Vec<String>> {
    let name = ServerName::Mysql(number);
    let (host, port) = super::required_address(env, name)?;
    let options = [
        format!("--datadir={}", layout.data(name).display()),
        format!("--bind-address={host}"),
        format!("--port={port}"),
        "--socket=server.sock".to_owned(),
        "--pid-file=server.pid".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--innodb-flush-log-at-trx-commit=1".to_owned(),
        "--sync-binlog=1".to_owned(),
        format!("--server-id={}", u32::from(number) + 1),
        "--log-bin=binlog".to_owned(),
        "--binlog-row-image=FULL".to_owned(),
        "--binlog-row-metadata=FULL".to_owned(),
        "--transaction-isolation=READ-COMMITTED".to_owned(),
        "--character-set-server=utf8mb4".to_owned(),
        "--collation-server=utf8mb4_bin".to_owned(),
        "--default-time-zone=+00:00".to_owned(),
        "--max-connections=300".to_owned(),
        "--innodb-buffer-pool-size=768M".to_owned(),
        "--performance-schema=OFF".to_owned(),
    ];
    Ok(options.into())
}

/// A killed server leaves its socket's lock behind. It names a pid that may still be a zombie, which
/// the next server takes for a living owner.
pub(super) fn forget_dead_owner(data: &Path) {
    for name in ["server.sock.lock", "server.sock", "server.pid"] {
        let _ = std::fs::remove_file(data.join(name));
    }
}

/// Until a first start was seen through, the server runs the statements that make our user and our
/// databases before it lets anybody in. They may run twice.
pub(super) fn first_start_options(
    number: u8,
    layout: &Layout,
    env: &StackEnv,
) -> Result<Vec<String>> {
    let data = layout.data(ServerName::Mysql(number));
    if done_marker(&data).exists() {
        return Ok(Vec::new());
    }
    let file = statements_file(&data);
    write_private(&file, &statements(number, env)?)?;
    Ok(vec![format!("--init-file={}", file.display())])
}

/// Called once the server answers: from now on it starts without the statements.
pub(crate) fn note_first_start_done(name: ServerName, layout: &Layout) -> Result<()> {
    let ServerName::Mysql(_) = name else {
        return Ok(());
    };
    let data = layout.data(name);
    let marker = done_marker(&data);
    if !marker.exists() {
        std::fs::write(&marker, "").at(&marker)?;
        let _ = std::fs::remove_file(statements_file(&data));
    }
    Ok(())
}

fn done_marker(data: &Path) -> PathBuf {
    data.with_extension("made")
}

fn statements_file(data: &Path) -> PathBuf {
    data.with_extension("first-start.sql")
}

fn statements(number: u8, env: &StackEnv) -> Result<String> {
    let (user, password) = env
        .order_shards
        .get(usize::from(number))
        .and_then(|url| credentials(url))
        .ok_or_else(|| StackError::BadEnvironment {
            place: "stack.env".to_owned(),
            problem: format!("HOLDFAST_ORDER_SHARDS has no credentials for shard {number}"),
        })?;
    Ok(format!(
        "CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON *.* TO '{user}'@'127.0.0.1' WITH GRANT OPTION;\n\
         ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n\
         CREATE DATABASE IF NOT EXISTS orders_{number};\n\
         CREATE DATABASE IF NOT EXISTS accounts_{number};\n"
    ))
}

fn credentials(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let (credentials, _) = rest.rsplit_once('@')?;
    credentials.split_once(':')
}
