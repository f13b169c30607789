//! What is said of one order, as text and as JSON: pure.

use super::remedy::remedy;
use crate::open_orders::{Down, Look, word};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ShardName;
use serde::Serialize;
use std::fmt;
use store::{OpenOrder, Routing};

/// One open order, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its id in its shown form.
    pub id: String,
    /// Its order shard.
    pub shard: String,
    /// `trying`, `confirming` or `cancelling`.
    pub state: &'static str,
    /// `stuck`, `overdue` or `due`.
    pub look: &'static str,
    /// How often a sweeper took it.
    pub attempts: u32,
    /// How long ago it was logged.
    pub age_seconds: i64,
    /// When it was logged.
    pub created_at: DateTime<Utc>,
    /// When it is attempted next.
    pub next_attempt_at: DateTime<Utc>,
    /// Seconds until then; negative when it is due.
    pub next_attempt_seconds: i64,
    /// The shards of its branches.
    pub account_shards: Vec<String>,
    /// Why the last attempt did not end it.
    pub cause: Option<String>,
    /// What would unstick it.
    pub remedy: String,
}

impl Listed {
    /// What is said of this order.
    pub fn of(
        shard: ShardName,
        order: &OpenOrder,
        look: Look,
        routing: &Routing,
        down: &Down,
    ) -> Self {
        let branches = order.legs.iter();
        let mut branches: Vec<ShardName> = branches
            .map(|leg| routing.account_shard(leg.account))
            .collect();
        branches.sort_unstable();
        branches.dedup();
        Self {
            id: order.id.to_string(),
            shard: shard.to_string(),
            state: word(order.state),
            look: look.as_str(),
            attempts: order.attempts,
            age_seconds: (order.read_at - order.created_at).num_seconds(),
            created_at: order.created_at,
            next_attempt_at: order.next_attempt_at,
            next_attempt_seconds: (order.next_attempt_at - order.read_at).num_seconds(),
            account_shards: branches.iter().map(ShardName::to_string).collect(),
            cause: order.last_cause.clone(),
            remedy: remedy(order, look, &branches, down),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = match self.next_attempt_seconds {
            seconds if seconds < 0 => format!("due for {}", length(-seconds)),
            seconds => format!("next in {}", length(seconds)),
        };
        let Self {
            id,
            state,
            look,
            attempts,
            shard,
            remedy,
            ..
        } = self;
        let age = length(self.age_seconds);
        writeln!(
            f,
            "{id}  {look}, {state}, {attempts} attempts, {age} old, {next}"
        )?;
        let branches = self.account_shards.join(" and ");
        writeln!(f, "    on {shard}, its branches on {branches}")?;
        if let Some(cause) = &self.cause {
            writeln!(f, "    last: {cause}")?;
        }
        writeln!(f, "    -> {remedy}.")
    }
}

/// A length of time in its two largest units.
fn length(seconds: i64) -> String {
    let time = TimeDelta::seconds(seconds);
    let (days, hours) = (time.num_days(), time.num_hours() % 24);
    let (minutes, seconds) = (time.num_minutes() % 60, time.num_seconds() % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_its_two_largest_units() {
        let cases = [
            (0, "0 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(length(seconds), text);
        }
    }
}
