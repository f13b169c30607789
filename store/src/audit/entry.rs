//! An entry of the trail as it is read back, and the hash that chains it.

use crate::columns;
use chrono::{DateTime, Utc};
use sqlx::mysql::MySqlRow;
use sqlx::{FromRow, Row};
use std::fmt;
use std::str::FromStr;

/// SHA-256 over an entry and its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntryHash([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct HashError;

/// One entry. Its texts are whatever the row says, also where no program of ours wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in its shard's chain, from 1.
    pub seq: u64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Whose business it was; empty for an operator's act.
    pub tenant: String,
    /// Who.
    pub actor: String,
    /// `api` or `command`.
    pub via: String,
    /// What, as [`Action::as_str`](super::Action::as_str) says it.
    pub action: String,
    /// To what.
    pub object: String,
    /// A JSON object as text.
    pub detail: String,
    /// As in the header `x-request-id`; empty for the command.
    pub request_id: String,
    /// The hash of the entry before.
    pub prev_hash: EntryHash,
    /// Its own.
    pub hash: EntryHash,
}

impl EntryHash {
    /// Stands before the first entry.
    pub const NONE: Self = Self([0; 32]);

    /// Of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EntryHash {
    type Err = HashError;
    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError)?;
        Ok(Self(bytes))
    }
}

impl FromRow<'_, MySqlRow> for Entry {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            tenant: row.try_get("tenant")?,
            actor: row.try_get("actor")?,
            via: row.try_get("via")?,
            action: row.try_get("action")?,
            object: row.try_get("object")?,
            detail: row.try_get("detail")?,
            request_id: row.try_get("request_id")?,
            prev_hash: EntryHash(columns::fixed(row, "prev_hash")?),
            hash: EntryHash(columns::fixed(row, "hash")?),
        })
    }
}
