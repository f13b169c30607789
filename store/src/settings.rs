//! The section `[stores]`: where the databases are and how long to wait for them.

use crate::StoreError;
use domain::{SlotMap, StoreKind};
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// Where the stores are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoresSettings {
    /// URLs of the order databases in shard order: a list, or one text separated by commas.
    #[serde(deserialize_with = "urls")]
    #[serde(serialize_with = "masked")]
    pub order_shards: Vec<String>,
    /// URLs of the account databases in shard order.
    #[serde(deserialize_with = "urls")]
    #[serde(serialize_with = "masked")]
    pub account_shards: Vec<String>,
    /// The slot map's generation; every database must carry it.
    pub slot_map_epoch: u32,
    /// Slot ranges of each order shard, such as `["0-511", "512-1023"]`; several of one shard are
    /// separated by commas. Empty: equal ranges in order.
    pub order_slots: Vec<String>,
    /// Slot ranges of each account shard, as `order_slots`.
    pub account_slots: Vec<String>,
    /// Most connections to each database.
    pub connections_max: u32,
    /// How long to wait for a connection, pooled or new.
    pub connect_timeout_ms: u64,
    /// How long a statement waits for a row or table lock.
    pub lock_wait_timeout_s: u32,
    /// How long a statement may run (MySQL: reading statements; MariaDB: every statement).
    pub statement_timeout_ms: u32,
    /// How long the server waits for what a session says next. Then it ends the session, and what that
    /// had locked is free: a worker that was stopped in a transaction holds nobody up for longer.
    pub idle_timeout_s: u32,
    /// Whether connections are encrypted.
    pub tls: TlsMode,
    /// The certificate authority that servers must be signed by (PEM).
    pub ca_file: Option<PathBuf>,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Never.
    Disabled,
    /// When the server can.
    Preferred,
    /// Or no connection.
    Required,
    /// And the server's certificate is signed by `ca_file`.
    VerifyCa,
}

impl Default for StoresSettings {
    fn default() -> Self {
        Self {
            order_shards: Vec::new(),
            account_shards: Vec::new(),
            slot_map_epoch: 1,
            order_slots: Vec::new(),
            account_slots: Vec::new(),
            connections_max: 16,
            connect_timeout_ms: 2_000,
            lock_wait_timeout_s: 5,
            statement_timeout_ms: 30_000,
            idle_timeout_s: 20,
            tls: TlsMode::Preferred,
            ca_file: None,
        }
    }
}

impl StoresSettings {
    /// The addresses of one store's databases, in shard order.
    pub fn urls(&self, store: StoreKind) -> &[String] {
        match store {
            StoreKind::Orders => &self.order_shards,
            StoreKind::Accounts => &self.account_shards,
        }
    }

    /// The slot map of one store.
    pub fn slot_map(&self, store: StoreKind) -> Result<SlotMap, StoreError> {
        let (name, slots) = match store {
            StoreKind::Orders => ("order_slots", &self.order_slots),
            StoreKind::Accounts => ("account_slots", &self.account_slots),
        };
        let shards = self.urls(store).len();
        if slots.is_empty() {
            return SlotMap::even(self.slot_map_epoch, shards)
                .map_err(|error| StoreError::Settings(error.to_string()));
        }
        if slots.len() != shards {
            let text = format!("{name} names {} shards, there are {shards}", slots.len());
            return Err(StoreError::Settings(text));
        }
        let ranges = slots.iter().map(|text| slot_ranges(text));
        let ranges: Vec<_> = ranges.collect::<Result<_, _>>()?;
        SlotMap::from_ranges(self.slot_map_epoch, &ranges)
            .map_err(|error| StoreError::Settings(format!("{name}: {error}")))
    }
}

/// `"0-511,600-700"`, both ends included.
fn slot_ranges(text: &str) -> Result<Vec<Range<u16>>, StoreError> {
    let unreadable = || StoreError::Settings(format!("{text:?} is not a list of slot ranges"));
    let range = |part: &str| {
        let (first, last) = part.trim().split_once('-')?;
        let last: u16 = last.parse().ok()?;
        Some(first.parse().ok()?..last.checked_add(1)?)
    };
    text.split(',')
        .map(|part| range(part).ok_or_else(unreadable))
        .collect()
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Urls {
        Text(String),
        List(Vec<String>),
    }
    let list = match Urls::deserialize(deserializer)? {
        Urls::Text(text) => text.split(',').map(str::to_owned).collect(),
        Urls::List(list) => list,
    };
    let trimmed = list.iter().map(|url| url.trim().to_owned());
    Ok(trimmed.filter(|url| !url.is_empty()).collect())
}

fn masked<S: serde::Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(urls.iter().map(|url| without_password(url)))
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{place}")
        }
        None => url.to_owned(),
    }
}

impl std::fmt::Debug for StoresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |urls: &[String]| -> Vec<String> {
            urls.iter().map(|url| without_password(url)).collect()
        };
        f.debug_struct("StoresSettings")
            .field("order_shards", &shown(&self.order_shards))
            .field("account_shards", &shown(&self.account_shards))
            .field("slot_map_epoch", &self.slot_map_epoch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> Result<StoresSettings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn shards_are_a_list_or_one_text() {
        let text = settings(serde_json::json!({"order_shards": "mysql://a, mysql://b"})).unwrap();
        let list = settings(serde_json::json!({"order_shards": ["mysql://a", "mysql://b"]}));
        assert_eq!(text.order_shards, list.unwrap().order_shards);
        assert!(settings(serde_json::json!({"order_shard": "mysql://a"})).is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        let json = serde_json::json!({"order_shards": "mysql://u:secret@h:1/d"});
        let settings = settings(json).unwrap();
        let shown = serde_json::to_string(&settings).unwrap() + &format!("{settings:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("mysql://u:***@h:1/d"));
    }

    #[test]
    fn explicit_slots_must_cover_every_slot_once() {
        let map = |slots: [&str; 2]| {
            let json =
                serde_json::json!({"order_shards": "mysql://a,mysql://b", "order_slots": slots});
            settings(json).unwrap().slot_map(StoreKind::Orders)
        };
        assert!(map(["0-100,200-1023", "101-199"]).is_ok());
        assert!(map(["0-100", "102-1023"]).is_err());
        assert!(map(["0-100", "x"]).is_err());
        assert!(map(["0-100", "101-65535"]).is_err());
    }
}
