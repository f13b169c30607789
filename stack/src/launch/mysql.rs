//! MySQL from its own folder, with that folder's own loader and libraries.

use std::path::Path;
use std::process::Command;

use crate::downloads;
use crate::env::StackEnv;
use crate::error::Result;
use crate::layout::Layout;
use crate::name::ServerName;
use crate::process::detached;

pub(super) fn prepare(number: u8, layout: &Layout, env: &StackEnv) -> Result<Command> {
    let home = downloads::mysql()?;
    super::format_once(&layout.data(ServerName::Mysql(number)), |partial| {
        super::run(
            "mysqld --initialize-insecure",
            &mut initialize(&home, partial),
        )
        .map(drop)
    })?;
    super::database::forget_dead_owner(&layout.data(ServerName::Mysql(number)));
    let mut command = detached(&home.join("mysqld"));
    command
        .arg("--no-defaults")
        .args(super::user_option())
        .args(folders(&home))
        .args(super::database::common_options(number, layout, env)?)
        .args(super::database::first_start_options(number, layout, env)?)
        .args(["--gtid-mode=ON", "--enforce-gtid-consistency=ON"])
        .args(["--mysqlx=OFF", "--secure-file-priv=NULL"])
        .arg("--innodb-redo-log-capacity=1G");
    Ok(command)
}

fn initialize(home: &Path, data: &Path) -> Command {
    let mut command = Command::new(home.join("mysqld"));
    command
        .args(["--no-defaults", "--initialize-insecure"])
        .args(folders(home))
        .arg(format!("--datadir={}", data.display()))
        .args(super::user_option());
    command
}

/// The server looks for these at the places of a system-wide installation otherwise.
fn folders(home: &Path) -> [String; 3] {
    let home = home.display();
    [
        format!("--lc-messages-dir={home}/usr/share/mysql"),
        format!("--character-sets-dir={home}/usr/share/mysql/charsets"),
        format!("--plugin-dir={home}/usr/lib/mysql/plugin"),
    ]
}
