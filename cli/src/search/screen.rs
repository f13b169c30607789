//! The status of search on one screen: pure.

use super::rebuild::progress;
use cdc_sync::status::{SearchStatus, ShardStatus};
use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt;

/// What `holdfast search status` prints.
pub struct Screen<'a> {
    status: &'a SearchStatus,
    now: DateTime<Utc>,
}

impl<'a> Screen<'a> {
    /// The status as it is now.
    pub fn new(status: &'a SearchStatus, now: DateTime<Utc>) -> Self {
        Self { status, now }
    }

    fn line(&self, shard: &ShardStatus, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (as_of, behind) = match shard.as_of {
            Some(as_of) => {
                let ms = (self.now - as_of).num_milliseconds().max(0);
                let as_of = as_of.to_rfc3339_opts(SecondsFormat::Millis, true);
                (as_of, format!("{:.1} s", ms as f64 / 1_000.0))
            }
            None => ("never followed".to_owned(), "-".to_owned()),
        };
        let transactions = match (&shard.transactions_behind, &shard.unreachable) {
            (Some(behind), _) => behind.to_string(),
            (None, Some(cause)) => format!("? ({cause})"),
            (None, None) => "?".to_owned(),
        };
        let ShardStatus { shard, server, .. } = shard;
        writeln!(
            f,
            "{shard:<12}{server:<23}{as_of:<26}{behind:<12}{transactions}"
        )
    }
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SearchStatus {
            index,
            documents,
            dead_letters,
            rebuild,
            snapshot,
            first_snapshots,
            shards,
        } = self.status;
        writeln!(
            f,
            "{index}: {documents} documents, {dead_letters} dead letters"
        )?;
        if let Some(rebuild) = rebuild {
            writeln!(f, "{}", progress(rebuild))?;
        }
        if let Some(snapshot) = snapshot {
            writeln!(f, "{snapshot}")?;
        }
        for first in first_snapshots {
            let (shards, progress) = (first.shards.join(", "), &first.progress);
            writeln!(f, "{shards}: the first snapshot goes on: {progress}")?;
        }
        writeln!(f)?;
        let (shard, server, as_of, behind) = ("shard", "server", "as of", "behind");
        writeln!(
            f,
            "{shard:<12}{server:<23}{as_of:<26}{behind:<12}transactions behind"
        )?;
        shards.iter().try_for_each(|shard| self.line(shard, f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_sync::snapshot::checkpoint::Checkpoint;
    use cdc_sync::snapshot::progress::Progress;

    fn first_snapshot() -> Checkpoint {
        let of = |number| [("orders-1".to_owned(), number)].into();
        Checkpoint {
            server: "u1".into(),
            shards: vec!["orders-1".into()],
            index_uuid: "i1".into(),
            watermark: String::new(),
            watermark_at: String::new(),
            progress: Progress {
                reached: of(5),
                last: of(10),
                seen: 3,
                rows: 3,
                rows_per_second: 0,
            },
            saved_at: String::new(),
        }
    }

    #[test]
    fn a_screen_tells_of_each_shard() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let shard = |shard: &str| ShardStatus {
            shard: shard.into(),
            server: "127.0.0.1:3306".into(),
            as_of: None,
            saved_at: None,
            transactions_behind: None,
            unreachable: Some("connection refused".into()),
        };
        let status = SearchStatus {
            index: "orders-v1".into(),
            documents: 3,
            dead_letters: 1,
            rebuild: None,
            snapshot: None,
            first_snapshots: vec![first_snapshot()],
            shards: vec![
                ShardStatus {
                    as_of: Some(at("2026-11-21T09:05:07Z")),
                    transactions_behind: Some(4),
                    unreachable: None,
                    ..shard("orders-0")
                },
                shard("orders-1"),
            ],
        };
        let screen = Screen::new(&status, at("2026-11-21T09:05:08.500Z")).to_string();
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!(lines[0], "orders-v1: 3 documents, 1 dead letters");
        assert_eq!(
            lines[1],
            "orders-1: the first snapshot goes on: 3 of about 6 rows, 50 %"
        );
        assert!(
            lines[4].contains("09:05:07.000Z") && lines[4].contains("1.5 s"),
            "{screen}"
        );
        assert!(lines[4].ends_with(" 4"), "{screen}");
        assert!(lines[5].contains("never followed"), "{screen}");
        assert!(lines[5].ends_with("? (connection refused)"), "{screen}");
    }
}
