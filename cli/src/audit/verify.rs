//! `holdfast audit verify`: follows the chains, and prints their heads to be written down.

use super::expected::{parse, written};
use crate::cause;
use crate::settings::Settings;
use anyhow::bail;
use domain::ShardName;
use serde::Serialize;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use store::Stores;
use store::audit::{AuditTrail, Expected, ShardCheck};

const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What to look for, and how to tell it.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// An entry that must be there, as an earlier run printed it; may be repeated. Without one, a chain
    /// whose end was cut off with its head, or that was rewritten from some entry on, looks sound.
    #[arg(long = "expect", value_name = "SHARD:SEQ:HASH", value_parser = parse)]
    expected: Vec<Expected>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What was found, shard by shard.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// `sound`, `broken` or `unchecked`.
    verdict: Verdict,
    shards: Vec<Shard>,
    seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Sound,
    Broken,
    Unchecked,
}

#[derive(Debug, Serialize)]
struct Shard {
    shard: String,
    /// How many entries hold, from the first on.
    entries: u64,
    /// The last of them, as `--expect` takes it.
    head: Option<String>,
    /// The first thing that is wrong.
    broken: Option<String>,
    /// Whether the database refuses to change its entries.
    guarded: Option<bool>,
    /// Why nothing can be told.
    unreachable: Option<String>,
}

/// Follows, prints, and exits 0 when all hold, 1 when one does not, 2 when it cannot be told.
pub async fn run(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let findings = check_all(settings, &args.expected).await?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&findings)?),
        false => print!("{findings}"),
    }
    Ok(ExitCode::from(findings.verdict.exit_code()))
}

/// Follows every shard's chain.
pub async fn check_all(settings: &Settings, expected: &[Expected]) -> anyhow::Result<Findings> {
    let started = Instant::now();
    let stores = Stores::connect(&settings.stores)?;
    let away = stores.check_identities().await?;
    let shards = stores.audit.shards();
    if let Some(unknown) = expected.iter().find(|e| !shards.contains(&e.shard)) {
        bail!("--expect: there is no shard {}", unknown.shard);
    }
    let mut progress = Progress::start();
    let mut found = Vec::new();
    for shard in shards {
        let cause = away.iter().find(|(name, _)| *name == shard);
        found.push(match cause {
            Some((_, cause)) => Shard::away(shard, cause.clone()),
            None => look(&stores.audit, shard, expected, &mut progress).await,
        });
    }
    Ok(Findings {
        verdict: verdict(&found),
        shards: found,
        seconds: started.elapsed().as_secs_f64(),
    })
}

async fn look(
    trail: &AuditTrail,
    shard: ShardName,
    expected: &[Expected],
    progress: &mut Progress,
) -> Shard {
    let checked = async {
        let tell = |done, of| progress.tell(shard, done, of);
        let check = trail.check(shard, expected, tell).await?;
        Ok((check, trail.is_guarded(shard).await?))
    };
    match checked.await {
        Ok((check, guarded)) => Shard::of(shard, &check, guarded),
        Err::<_, store::StoreError>(error) => Shard::away(shard, cause::told(&error)),
    }
}

fn verdict(shards: &[Shard]) -> Verdict {
    if shards.iter().any(|shard| shard.broken.is_some()) {
        Verdict::Broken
    } else if shards.iter().any(|shard| shard.unreachable.is_some()) {
        Verdict::Unchecked
    } else {
        Verdict::Sound
    }
}

impl Verdict {
    fn exit_code(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Broken => 1,
            Self::Unchecked => 2,
        }
    }
}

impl Shard {
    fn of(shard: ShardName, check: &ShardCheck, guarded: bool) -> Self {
        Self {
            shard: shard.to_string(),
            entries: check.last.seq,
            head: Some(written(shard, check.last)),
            broken: check.broken.map(|broken| broken.to_string()),
            guarded: Some(guarded),
            unreachable: None,
        }
    }

    fn away(shard: ShardName, cause: String) -> Self {
        Self {
            shard: shard.to_string(),
            entries: 0,
            head: None,
            broken: None,
            guarded: None,
            unreachable: Some(cause),
        }
    }
}

impl Findings {
    /// In a line: how many entries hold.
    pub fn line(&self) -> String {
        let entries: u64 = self.shards.iter().map(|shard| shard.entries).sum();
        format!("{entries} entries of the audit trail hold")
    }

    /// What is wrong, if anything is.
    pub fn problem(&self) -> Option<String> {
        match self.verdict {
            Verdict::Sound => None,
            Verdict::Broken | Verdict::Unchecked => Some(format!("the audit trail: {self}")),
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for shard in &self.shards {
            write!(f, "{shard}")?;
        }
        match self.verdict {
            Verdict::Sound => writeln!(
                f,
                "Sound. Write the heads down elsewhere, and pass each to the next run as --expect."
            ),
            Verdict::Broken => writeln!(f, "BROKEN. Keep the databases as they are."),
            Verdict::Unchecked => writeln!(f, "Not every shard could be checked."),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, entries, .. } = self;
        if let Some(cause) = &self.unreachable {
            return writeln!(f, "{shard}: cannot be read: {cause}");
        }
        match &self.broken {
            Some(broken) => writeln!(f, "{shard}: {entries} entries hold, then: {broken}")?,
            None => writeln!(f, "{shard}: {entries} entries")?,
        }
        if let Some(head) = &self.head {
            writeln!(f, "  head  {head}")?;
        }
        if self.guarded == Some(false) {
            writeln!(
                f,
                "  no triggers are seen that refuse changes: `holdfast migrate` as a user who may make them"
            )?;
        }
        Ok(())
    }
}

/// Says on standard error how far it is, now and then.
struct Progress {
    told: Instant,
}

impl Progress {
    fn start() -> Self {
        Self {
            told: Instant::now(),
        }
    }

    fn tell(&mut self, shard: ShardName, done: u64, of: u64) {
        if self.told.elapsed() >= REPORT_EVERY {
            self.told = Instant::now();
            eprintln!("audit: {shard}: {done} of {of} entries hold");
        }
    }
}
