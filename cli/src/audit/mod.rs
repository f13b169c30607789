//! `holdfast audit`: who did what, and whether anybody has touched the record of it.

mod acts;
mod expected;
mod list;
mod operator;
mod show;
mod verify;

pub use acts::{is_written_down_first, write_down};
pub use operator::operator;
pub use verify::check_all;

use crate::settings::Settings;
use std::process::ExitCode;

/// What to do with the audit trail.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Follow every shard's chain of entries from its first to its last; exit 1 when one was altered,
    /// removed or put in between, 2 when that cannot be told of every shard.
    Verify(verify::VerifyArgs),
    /// List entries, the newest last; exit 2 when a shard does not answer.
    List(list::ListArgs),
}

/// Does it.
pub async fn run(settings: &Settings, command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => verify::run(settings, args).await,
        AuditCommand::List(args) => list::run(settings, args).await,
    }
}
