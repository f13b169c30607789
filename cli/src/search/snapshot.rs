//! `holdfast search snapshot`: asks the follower to write orders again, and shows how far it is. The
//! follower does the work, so it goes on also when the command is stopped.

use anyhow::bail;
use cdc_sync::search_client::{SearchClient, SearchError};
use cdc_sync::snapshot::created::Created;
use cdc_sync::snapshot::record::{Phase, Snapshot, Wanted, load};
use cdc_sync::snapshot::request::{self, Asked};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(300);
const LINE_EVERY: Duration = Duration::from_secs(2);
/// For how long nothing may be written down. A follower writes every second while it goes on, and when
/// something holds it up it writes that.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// Which orders, and whether to wait.
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    /// Only the orders of these shards, such as orders-1; repeated, or with commas between.
    #[arg(long = "shard", value_name = "SHARD", value_delimiter = ',')]
    shards: Vec<String>,
    /// Only orders that were made in this time, FROM..TO without TO, either of which may be left out:
    /// dates or times such as 2026-11-01..2026-11-02T09:00:00Z. Every row is looked at all the same.
    #[arg(long, value_name = "RANGE")]
    where_created: Option<Created>,
    /// Do not wait for the end.
    #[arg(long)]
    detach: bool,
    /// End the one that goes on; what it has written stays.
    #[arg(long, conflicts_with_all = ["shards", "where_created", "detach"])]
    cancel: bool,
}

/// Asks for a snapshot, or for the end of one, and waits for its end. `known` are the order shards.
pub async fn run(
    client: &SearchClient,
    known: &[String],
    args: &SnapshotArgs,
) -> anyhow::Result<ExitCode> {
    if args.cancel {
        println!("{}", told(&request::cancel(client).await?));
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = Wanted {
        shards: shards(known, &args.shards)?,
        created: args.where_created,
    };
    let asked = request::snapshot(client, &wanted).await?;
    let what = match &asked {
        Asked::Begun(_) => format!("{wanted} are written again"),
        Asked::Joined(_) => format!("{wanted} are being written again already"),
    };
    eprintln!("{what}; that goes on also when this command is stopped.");
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let ended = ended(client, asked.snapshot()).await?;
    println!("{}", told(&ended));
    Ok(match ended.phase {
        Phase::Done => ExitCode::SUCCESS,
        Phase::Wanted | Phase::Copying | Phase::Cancelled => ExitCode::from(1),
    })
}

/// Those that are asked for, in order and each once; all of them where none is.
fn shards(known: &[String], asked: &[String]) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = asked.iter().find(|shard| !known.contains(shard)) {
        bail!(
            "--shard {unknown}: there is no such order shard; there are {}",
            known.join(", ")
        );
    }
    let is_asked = |shard: &&String| asked.is_empty() || asked.contains(shard);
    Ok(known.iter().filter(is_asked).cloned().collect())
}

/// Shows how far it is until it ends.
async fn ended(client: &SearchClient, asked: &Snapshot) -> anyhow::Result<Snapshot> {
    let mut written_down = (String::new(), Instant::now());
    let (mut line, mut at) = (String::new(), None::<Instant>);
    loop {
        match load(client).await {
            Ok(Some(found)) if found.document.number != asked.number => {
                bail!(
                    "it ended, and another one was asked for since: {}",
                    found.document
                );
            }
            Ok(Some(found)) if !found.document.phase.goes_on() => return Ok(found.document),
            Ok(Some(found)) => {
                let snapshot = found.document;
                let now = snapshot.to_string();
                if now != line && at.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
                    eprintln!("{now}");
                    (line, at) = (now, Some(Instant::now()));
                }
                if snapshot.changed_at != written_down.0 {
                    written_down = (snapshot.changed_at, Instant::now());
                }
            }
            Ok(None) => bail!("nothing is written down of a snapshot any more"),
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

fn told(snapshot: &Snapshot) -> String {
    match snapshot.phase {
        Phase::Done => format!(
            "{snapshot}, of {} rows looked at.\nA document without an order in the stores stays: `holdfast \
             reconcile` finds such, and `holdfast reconcile --repair-search --delete-orphans` removes them.",
            snapshot.progress.seen
        ),
        Phase::Cancelled => format!("cancelled: {snapshot}"),
        Phase::Wanted | Phase::Copying => snapshot.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SnapshotArgs,
    }

    fn parse(line: &[&str]) -> Result<SnapshotArgs, clap::Error> {
        let words = ["snapshot"].into_iter().chain(line.iter().copied());
        Line::try_parse_from(words).map(|line| line.args)
    }

    fn known() -> Vec<String> {
        ["orders-0", "orders-1", "orders-2"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn shards_are_all_or_those_that_are_named_in_order() {
        assert_eq!(shards(&known(), &[]).unwrap(), known());
        let args = parse(&["--shard", "orders-2,orders-0", "--shard", "orders-2"]).unwrap();
        assert_eq!(
            shards(&known(), &args.shards).unwrap(),
            ["orders-0", "orders-2"]
        );
    }

    #[test]
    fn what_cannot_be_is_refused_and_the_option_is_named() {
        let args = parse(&["--shard", "accounts-0"]).unwrap();
        let refused = shards(&known(), &args.shards).unwrap_err().to_string();
        assert!(
            refused.contains("--shard accounts-0") && refused.contains("orders-1"),
            "{refused}"
        );
        let refused = parse(&["--where-created", "yesterday"]).err().unwrap();
        assert!(refused.to_string().contains("--where-created"), "{refused}");
        assert!(parse(&["--cancel", "--shard", "orders-0"]).is_err());
    }

    #[test]
    fn at_the_end_it_is_said_that_nothing_was_removed() {
        let wanted = Wanted {
            shards: known(),
            created: None,
        };
        let mut snapshot = Snapshot::wanted(7, wanted);
        (snapshot.progress.seen, snapshot.progress.rows) = (12, 3);
        snapshot.phase = Phase::Done;
        let said = told(&snapshot);
        assert!(
            said.contains("written again: 3, of 12 rows") && said.contains("--delete-orphans"),
            "{said}"
        );
        snapshot.phase = Phase::Cancelled;
        assert!(told(&snapshot).starts_with("cancelled: "));
    }
}
