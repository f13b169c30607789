//! Which commands are written down before they run.
//!
//! `token` writes its own entry, which names the token.

use super::operator;
use crate::Command;
use crate::search::SearchCommand;
use crate::settings::Settings;
use anyhow::Context;
use serde_json::json;
use store::Stores;
use store::audit::{Action, Deed, detail};

/// Whether a command may change something.
pub fn is_written_down_first(command: &Command) -> bool {
    act(command).is_some()
}

/// Writes down what is asked for; an error where that is not possible, and then it must not be done.
pub async fn write_down(settings: &Settings, command: &Command) -> anyhow::Result<()> {
    let Some((action, object)) = act(command) else {
        return Ok(());
    };
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let deed = Deed {
        tenant: None,
        action,
        object: object.into(),
        detail: detail([("arguments", json!(arguments))]),
    };
    let stores = Stores::connect(&settings.stores)?;
    let written = stores.audit.note(&operator(), &deed).await;
    stores.close().await;
    written.context("nothing was done: it cannot be written to the audit trail")
}

/// What a command changes, and in what; none where it only looks, or cannot be written down because it
/// is what makes the trail.
fn act(command: &Command) -> Option<(Action, &'static str)> {
    const INDEX: &str = "search index";
    match command {
        Command::Redrive(args) if args.is_dry() => None,
        Command::Redrive(args) if args.takes_letters() => {
            Some((Action::LettersRedriven, "dead letters"))
        }
        Command::Redrive(_) => Some((Action::OrdersRedriven, "orders")),
        Command::Reconcile(args) => args.repairs().then_some((Action::SearchRepaired, INDEX)),
        Command::Search(command) => match command {
            SearchCommand::Status(_) | SearchCommand::DeadLetters(_) => None,
            SearchCommand::Snapshot(_) => Some((Action::SearchWrittenAgain, INDEX)),
            SearchCommand::Rebuild(_) => Some((Action::SearchRebuilt, INDEX)),
            SearchCommand::SwitchBack => Some((Action::SearchSwitchedBack, INDEX)),
            SearchCommand::Discard => Some((Action::SearchDiscarded, INDEX)),
            SearchCommand::Redrive(args) if args.is_dry() => None,
            SearchCommand::Redrive(_) => Some((Action::LettersRedriven, INDEX)),
        },
        Command::Demo(_) => Some((Action::DemoPlayed, "demo")),
        Command::Setup(_)
        | Command::Migrate(_)
        | Command::Token(_)
        | Command::Verify(_)
        | Command::Find(_)
        | Command::Stuck(_)
        | Command::Audit(_) => None,
    }
}
