//! Entries as lines and as JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::ShardName;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::io::{Write, stdout};
use store::audit::Entry;

/// An entry, as an auditor sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its shard.
    pub shard: String,
    /// Its number there.
    pub seq: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// Whose business it was; empty for an operator's act.
    tenant: String,
    actor: String,
    via: String,
    action: String,
    object: String,
    /// An object, or a text where the row holds no JSON.
    detail: Value,
    request_id: String,
    hash: String,
}

impl Listed {
    /// This entry of this shard.
    pub fn of(shard: ShardName, entry: Entry) -> Self {
        Self {
            shard: shard.to_string(),
            seq: entry.seq,
            at: entry.at,
            tenant: entry.tenant,
            actor: entry.actor,
            via: entry.via,
            action: entry.action,
            object: entry.object,
            detail: serde_json::from_str(&entry.detail).unwrap_or(Value::String(entry.detail)),
            request_id: entry.request_id,
            hash: entry.hash.to_string(),
        }
    }
}

/// Prints the entries, and which shards did not answer.
pub fn print(
    entries: &[Listed],
    silent: &[(ShardName, String)],
    as_json: bool,
) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if as_json {
        let away = silent
            .iter()
            .map(|(shard, cause)| json!({ "shard": shard.to_string(), "cause": cause }));
        let away: Vec<Value> = away.collect();
        let page = json!({ "entries": entries, "unreachable": away });
        writeln!(out, "{}", serde_json::to_string_pretty(&page)?)?;
        return Ok(());
    }
    for entry in entries {
        writeln!(out, "{entry}")?;
    }
    for (shard, cause) in silent {
        writeln!(out, "{shard}: cannot be read: {cause}")?;
    }
    Ok(())
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let Self { shard, seq, .. } = self;
        write!(f, "{at}  {shard}:{seq}")?;
        for text in [&self.actor, &self.via, &self.action, &self.object] {
            write!(f, "  {}", Plain(text))?;
        }
        if !self.tenant.is_empty() {
            write!(f, "  tenant {}", Plain(&self.tenant))?;
        }
        write!(f, "  {}", Plain(&self.detail.to_string()))?;
        if !self.request_id.is_empty() {
            write!(f, "  request {}", Plain(&self.request_id))?;
        }
        Ok(())
    }
}

/// A text that others wrote, without what a terminal would act on.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::StoreKind;
    use store::audit::EntryHash;

    fn listed(actor: &str, detail: &str) -> Listed {
        let shard = ShardName {
            store: StoreKind::Accounts,
            index: 0,
        };
        let entry = Entry {
            seq: 7,
            at: DateTime::UNIX_EPOCH,
            tenant: "demo".into(),
            actor: actor.into(),
            via: "api".into(),
            action: "account.opened".into(),
            object: "acct_1".into(),
            detail: detail.into(),
            request_id: "r".into(),
            prev_hash: EntryHash::NONE,
            hash: EntryHash::NONE,
        };
        Listed::of(shard, entry)
    }

    #[test]
    fn a_line_says_all_and_nothing_that_a_terminal_obeys() {
        assert_eq!(
            listed("a\u{1b}[2Jb\n", r#"{"n":1}"#).to_string(),
            "1970-01-01T00:00:00.000000Z  accounts-0:7  a\\u{1b}[2Jb\\n  api  account.opened  acct_1  \
             tenant demo  {\"n\":1}  request r"
        );
    }

    #[test]
    fn a_detail_that_is_no_json_is_shown_as_it_is() {
        assert_eq!(listed("a", "{").detail, Value::String("{".into()));
    }
}
