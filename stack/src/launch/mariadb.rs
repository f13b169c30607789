//! MariaDB from the host's packages, in the place of MySQL.

use std::process::Command;

use crate::downloads;
use crate::env::StackEnv;
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::name::ServerName;
use crate::process::detached;

pub(super) fn prepare(number: u8, layout: &Layout, env: &StackEnv) -> Result<Command> {
    let server = downloads::installed("mariadbd")?;
    let installer = downloads::installed("mariadb-install-db")?;
    // A server that starts removes every temporary table that it finds, also another server's.
    let temporary = layout.data(ServerName::Mysql(number)).with_extension("tmp");
    std::fs::create_dir_all(&temporary).at(&temporary)?;
    super::format_once(&layout.data(ServerName::Mysql(number)), |partial| {
        let mut install = Command::new(&installer);
        install
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(format!("--datadir={}", partial.display()))
            .args(super::user_option())
            .env("TMPDIR", &temporary);
        super::run("mariadb-install-db", &mut install).map(drop)
    })?;
    super::database::forget_dead_owner(&layout.data(ServerName::Mysql(number)));
    let mut command = detached(&server);
    command
        .arg("--no-defaults")
        .args(super::user_option())
        .args(super::database::common_options(number, layout, env)?)
        .args(super::database::first_start_options(number, layout, env)?)
        .args([
            "--binlog-format=ROW",
            "--gtid-strict-mode=ON",
            "--binlog-checksum=CRC32",
            "--log-bin-compress=OFF",
            // A replica that takes over has written what it got.
            "--log-slave-updates=ON",
            "--binlog-annotate-row-events=OFF",
        ])
        // The default makes other inserts wait for an INSERT ... SELECT from JSON_TABLE.
        .arg("--innodb-autoinc-lock-mode=2")
        .arg("--innodb-log-file-size=1G")
        .env("TMPDIR", &temporary);
    Ok(command)
}
