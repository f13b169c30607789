//! `holdfast redrive`: tries open orders at once, or puts dead letters back on the commands' topic.
//!
//! Without `--yes` it only tells what it would do. Neither touches money or an order's state: the
//! sweepers and the consumers do the rest, and the order log decides whatever comes twice. So either
//! may be killed anywhere and run again.

mod journal;
mod letters;
mod orders;
mod outlet;
mod shelf;

use crate::settings::Settings;
use anyhow::bail;
use domain::OrderId;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many are named in a dry run.
const NAMED_MAX: usize = 20;

/// What to try again.
#[derive(Debug, clap::Args)]
pub struct RedriveArgs {
    /// These orders, ord_...; with --dead-letters the newest dead letter of each.
    #[arg(value_name = "ORDER")]
    ids: Vec<OrderId>,
    /// Every open order that is stuck or overdue.
    #[arg(long, conflicts_with_all = ["ids", "dead_letters"])]
    stuck: bool,
    /// Every open order whose last cause has this text in it; with --stuck both must hold.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["ids", "dead_letters"])]
    cause: Option<String>,
    /// Dead letters instead of open orders.
    #[arg(long)]
    dead_letters: bool,
    /// The dead letters of this class that were not put back yet, such as bad-field.
    #[arg(long, requires = "dead_letters", conflicts_with_all = ["ids", "partition"])]
    class: Option<String>,
    /// With --offset: one dead letter, by its place on the dead letters' topic.
    #[arg(long, requires_all = ["dead_letters", "offset"], conflicts_with = "ids")]
    partition: Option<i32>,
    /// With --partition.
    #[arg(long, requires = "partition")]
    offset: Option<i64>,
    /// All dead letters that were not put back yet.
    #[arg(long, requires = "dead_letters", conflicts_with_all = ["ids", "partition"])]
    all: bool,
    /// Do it.
    #[arg(long)]
    yes: bool,
}

impl RedriveArgs {
    /// Whether it only tells what it would do.
    pub fn is_dry(&self) -> bool {
        !self.yes
    }

    /// Whether it is about dead letters.
    pub fn takes_letters(&self) -> bool {
        self.dead_letters
    }
}

/// Which open orders.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Orders {
    Named(Vec<OrderId>),
    Matching { stuck: bool, cause: Option<String> },
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Letters {
    Named(Vec<OrderId>),
    At { partition: i32, offset: i64 },
    OfClass(String),
    All,
}

/// Does it, or tells what it would do. Exits 1 when something named cannot be redriven, 2 when a
/// server does not answer.
pub async fn run(settings: &Settings, args: &RedriveArgs) -> anyhow::Result<ExitCode> {
    if args.dead_letters {
        letters::run(settings, &letters_of(args)?, args.yes).await
    } else {
        orders::run(settings, &orders_of(args)?, args.yes).await
    }
}

fn orders_of(args: &RedriveArgs) -> anyhow::Result<Orders> {
    if !args.ids.is_empty() {
        return Ok(Orders::Named(args.ids.clone()));
    }
    if !args.stuck && args.cause.is_none() {
        bail!("say what to redrive: orders by id, --stuck, --cause TEXT or --dead-letters");
    }
    Ok(Orders::Matching {
        stuck: args.stuck,
        cause: args.cause.clone(),
    })
}

fn letters_of(args: &RedriveArgs) -> anyhow::Result<Letters> {
    match (&args.class, args.partition.zip(args.offset)) {
        _ if !args.ids.is_empty() => Ok(Letters::Named(args.ids.clone())),
        (Some(class), _) => Ok(Letters::OfClass(class.clone())),
        (None, Some((partition, offset))) => Ok(Letters::At { partition, offset }),
        (None, None) if args.all => Ok(Letters::All),
        (None, None) => bail!(
            "say which dead letters: orders by id, --class NAME, --partition P --offset O or --all"
        ),
    }
}

/// Says now and then how far it is.
struct Progress {
    said: Instant,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(3);

    fn new() -> Self {
        Self {
            said: Instant::now(),
        }
    }

    fn at(&mut self, done: u64, what: &str) {
        if self.said.elapsed() >= Self::EVERY {
            self.said = Instant::now();
            eprintln!("{done} {what} so far");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RedriveArgs,
    }

    fn parse(line: &[&str]) -> Result<RedriveArgs, clap::Error> {
        let words = ["redrive"].into_iter().chain(line.iter().copied());
        Line::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn nothing_is_redriven_unnamed() {
        assert!(orders_of(&parse(&[]).unwrap()).is_err());
        assert!(letters_of(&parse(&["--dead-letters"]).unwrap()).is_err());
        assert!(parse(&["--all"]).is_err());
        assert!(parse(&["--dead-letters", "--stuck"]).is_err());
        assert!(parse(&["--dead-letters", "--partition", "0"]).is_err());
    }

    #[test]
    fn each_way_to_name_dead_letters_is_understood() {
        let id = "ord_00000000000000000000000000000009";
        let cases = [
            (vec![id], Letters::Named(vec![id.parse().unwrap()])),
            (
                vec!["--partition", "0", "--offset", "7"],
                Letters::At {
                    partition: 0,
                    offset: 7,
                },
            ),
            (
                vec!["--class", "bad-field"],
                Letters::OfClass("bad-field".into()),
            ),
            (vec!["--all"], Letters::All),
        ];
        for (line, expected) in cases {
            let line = [vec!["--dead-letters"], line].concat();
            assert_eq!(letters_of(&parse(&line).unwrap()).unwrap(), expected);
        }
    }
}
