//! `holdfast audit list`: entries of every shard, the newest last.
//!
//! Chains are read backwards, page by page, until there are enough; only what is listed is kept.

use super::show::{Listed, print};
use crate::cause;
use crate::reconcile::since::{self, Since};
use crate::settings::Settings;
use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::PossibleValuesParser;
use clap::value_parser;
use domain::ShardName;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use store::audit::{Action, AuditTrail, Entry};
use store::{StoreError, Stores};

/// Entries read at once.
const PAGE: u32 = 1_000;
/// How far a server's clock may have been set back between two entries.
const CLOCK_SLACK: TimeDelta = TimeDelta::hours(1);

/// How many may be listed at once: they are kept until they are sorted.
const LIMITS: RangeInclusive<i64> = 1..=100_000;

/// Which entries, and how to tell them.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those from then on: a time such as 2026-11-21T09:00:00Z, or a span such as 24h.
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    since: Option<Since>,
    /// Only those of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those of this actor: a token's subject, or user@host.
    #[arg(long)]
    actor: Option<String>,
    /// Only those of this action.
    #[arg(long, value_parser = PossibleValuesParser::new(Action::ALL.iter().map(|a| a.as_str())))]
    action: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = value_parser!(u32).range(LIMITS))]
    limit: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What an entry must be to be listed.
struct Filter<'a> {
    args: &'a ListArgs,
    since: Option<DateTime<Utc>>,
}

/// Lists, and exits 2 when a shard does not answer.
pub async fn run(settings: &Settings, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let stores = Stores::connect(&settings.stores)?;
    let away = stores.check_identities().await?;
    let filter = Filter {
        args,
        since: args.since.map(|since| since.from(Utc::now())),
    };
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for shard in stores.audit.shards() {
        let cause = away.iter().find(|(name, _)| *name == shard);
        let read = match cause {
            Some((_, cause)) => Err(cause.clone()),
            None => newest(&stores.audit, shard, &filter)
                .await
                .map_err(|error| cause::told(&error)),
        };
        match read {
            Ok(entries) => found.extend(entries.into_iter().map(|e| Listed::of(shard, e))),
            Err(cause) => silent.push((shard, cause)),
        }
    }
    found.sort_by(|one, other| {
        (one.at, &one.shard, one.seq).cmp(&(other.at, &other.shard, other.seq))
    });
    let surplus = found.len().saturating_sub(args.limit as usize);
    print(&found[surplus..], &silent, args.json)?;
    Ok(match silent.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(2),
    })
}

/// The newest entries of a shard that pass, at most as many as are listed of all.
async fn newest(
    trail: &AuditTrail,
    shard: ShardName,
    filter: &Filter<'_>,
) -> Result<Vec<Entry>, StoreError> {
    let limit = filter.args.limit as usize;
    let mut found = Vec::new();
    let mut before = u64::MAX;
    loop {
        let page = trail.page_before(shard, before, PAGE).await?;
        let Some(oldest) = page.last() else {
            return Ok(found);
        };
        before = oldest.seq;
        let is_past = filter.is_past(oldest);
        found.extend(page.into_iter().filter(|entry| filter.takes(entry)));
        if found.len() >= limit || is_past {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

impl Filter<'_> {
    fn takes(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
        self.since.is_none_or(|since| entry.at >= since)
            && is(&self.args.tenant, &entry.tenant)
            && is(&self.args.actor, &entry.actor)
            && is(&self.args.action, &entry.action)
    }

    /// Whether nothing before this entry can pass.
    fn is_past(&self, entry: &Entry) -> bool {
        self.since
            .is_some_and(|since| entry.at + CLOCK_SLACK < since)
    }
}
