//! `holdfast search rebuild`, `switch-back` and `discard`: asks the follower for it, and shows how far
//! it is. The follower does the work, so it goes on also when the command is stopped.

use anyhow::bail;
use cdc_sync::rebuild::record::{Phase, Rebuild, load};
use cdc_sync::rebuild::request;
use cdc_sync::search_client::{SearchClient, SearchError};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(300);
const LINE_EVERY: Duration = Duration::from_secs(2);
/// For how long nothing may be written down. A follower writes every second while it fills an index,
/// and what else it does is bounded by less.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// What may be asked of a rebuild.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    /// Take the new index even where it differs from the old one.
    #[arg(long)]
    accept_differences: bool,
}

/// Asks for a rebuild and waits for its end.
pub async fn rebuild(client: &SearchClient, args: &RebuildArgs) -> anyhow::Result<ExitCode> {
    let asked = request::rebuild(client, args.accept_differences).await?;
    eprintln!(
        "{} is built beside {}; that goes on also when this command is stopped.",
        asked.to, asked.from
    );
    let ended = ended(client).await?;
    println!("{}", told(&ended, &client.names().alias));
    Ok(code(ended.phase == Phase::Switched))
}

/// Asks for the alias to go back and waits until it has.
pub async fn switch_back(client: &SearchClient) -> anyhow::Result<ExitCode> {
    let asked = request::switch_back(client).await?;
    let ended = ended(client).await?;
    println!("{}", told(&ended, &client.names().alias));
    Ok(code(
        ended.phase == Phase::Switched && ended.to == asked.from,
    ))
}

/// Asks for the index beside to be removed and waits until it is.
pub async fn discard(client: &SearchClient) -> anyhow::Result<ExitCode> {
    request::discard(client).await?;
    let ended = ended(client).await?;
    println!("{}", told(&ended, &client.names().alias));
    Ok(code(ended.phase == Phase::Done))
}

fn code(is_as_asked: bool) -> ExitCode {
    match is_as_asked {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    }
}

/// Shows how far it is until there is nothing more to wait for.
pub async fn ended(client: &SearchClient) -> anyhow::Result<Rebuild> {
    let mut written_down = (String::new(), Instant::now());
    let (mut line, mut at) = (String::new(), None::<Instant>);
    loop {
        match load(client).await {
            Ok(Some(found)) if !found.document.phase.goes_on() => return Ok(found.document),
            Ok(Some(found)) => {
                let rebuild = found.document;
                let now = progress(&rebuild);
                if now != line && at.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
                    eprintln!("{now}");
                    (line, at) = (now, Some(Instant::now()));
                }
                if rebuild.changed_at != written_down.0 {
                    written_down = (rebuild.changed_at, Instant::now());
                }
            }
            Ok(None) => bail!("nothing is written down of a rebuild any more"),
            Err(SearchError::Transient(_)) => {}
            Err(error @ SearchError::Definite(_)) => return Err(error.into()),
        }
        if written_down.1.elapsed() > SILENT_MAX {
            bail!(
                "nothing was written down for {} s; it goes on by itself as soon as a follower acts: is \
                 cdc-sync running?",
                SILENT_MAX.as_secs()
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How far a rebuild is, in a line.
pub fn progress(rebuild: &Rebuild) -> String {
    let Rebuild { from, to, rows, .. } = rebuild;
    let is = match rebuild.phase {
        Phase::Requested => format!("{to} is wanted beside {from}"),
        Phase::Filling => format!("{to} is filled: {rows} orders, {} %", percent(rebuild)),
        Phase::Comparing => format!("{to} is compared with {from}: {rows} orders"),
        Phase::Switching => format!("searches go over to {to}"),
        Phase::Differs => format!("{to} differs from {from}, which is still in use"),
        Phase::Switched => format!("{to} is in use, {from} is kept beside it"),
        Phase::SwitchingBack => format!("{from} comes back in place of {to}"),
        Phase::Discarding => "the index beside is removed".to_owned(),
        Phase::Done => match &rebuild.failure {
            Some(failure) => format!("the index beside was given up: {failure}"),
            None => "there is no index beside".to_owned(),
        },
    };
    match &rebuild.trouble {
        Some(trouble) if rebuild.phase.goes_on() => format!("{is}; held up: {trouble}"),
        Some(_) | None => is,
    }
}

/// How much of the shards' rows is written; of a shard that was not begun nothing is known yet.
fn percent(rebuild: &Rebuild) -> u64 {
    let last: u64 = rebuild.last.values().sum();
    let reached: u64 = rebuild.reached.values().sum();
    match last {
        0 => 0,
        last => (reached.saturating_mul(100) / last).min(100),
    }
}

fn told(rebuild: &Rebuild, alias: &str) -> String {
    let Rebuild { from, to, .. } = rebuild;
    let differences = format!("  {}", rebuild.differences.join("\n  "));
    match rebuild.phase {
        Phase::Differs => format!(
            "{to} differs from {from}, and {alias} still names {from}:\n{differences}\n\
             To take it all the same: holdfast search rebuild --accept-differences\n\
             To drop it: holdfast search discard"
        ),
        Phase::Switched => {
            let kept = format!(
                "{alias} names {to}; {from} is kept beside it and gets every change: `holdfast search \
                 switch-back` goes back to it, `holdfast search discard` removes it."
            );
            match rebuild.differences.is_empty() {
                true => kept,
                false => format!("{kept}\nAs accepted, {to} differs from {from}:\n{differences}"),
            }
        }
        Phase::Requested
        | Phase::Filling
        | Phase::Comparing
        | Phase::Switching
        | Phase::SwitchingBack
        | Phase::Discarding
        | Phase::Done => progress(rebuild),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(phase: Phase) -> Rebuild {
        Rebuild {
            phase,
            rows: 30,
            reached: [("orders-0".to_owned(), 30)].into(),
            last: [("orders-0".to_owned(), 60), ("orders-1".to_owned(), 60)].into(),
            ..Rebuild::requested("orders-v1".into(), "orders-v2".into(), false)
        }
    }

    #[test]
    fn progress_says_how_much_is_filled_and_what_holds_it_up() {
        let filling = progress(&at(Phase::Filling));
        assert_eq!(filling, "orders-v2 is filled: 30 orders, 25 %");
        let held_up = Rebuild {
            trouble: Some("orders-0 is away".into()),
            ..at(Phase::Filling)
        };
        assert!(progress(&held_up).ends_with("held up: orders-0 is away"));
    }

    #[test]
    fn an_empty_store_is_no_division_by_zero() {
        let mut empty = at(Phase::Filling);
        empty.last.clear();
        assert_eq!(percent(&empty), 0);
    }

    #[test]
    fn what_differs_is_told_with_the_ways_on() {
        let differs = Rebuild {
            differences: vec!["paid on 2026-11-21 in USD: ...".into()],
            ..at(Phase::Differs)
        };
        let told = told(&differs, "orders");
        assert!(told.contains("paid on 2026-11-21") && told.contains("--accept-differences"));
        assert!(told.contains("orders still names orders-v1"), "{told}");
    }
}
