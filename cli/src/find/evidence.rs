//! What each server knows of one order. A server that is down is part of the answer.

use crate::cause;
use crate::kafka_log::Record;
use crate::search_index::Document;
use chrono::{DateTime, Utc};
use domain::AccountId;
use store::{Account, OrderRow};

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// This.
    Known(T),
    /// That it knows nothing.
    Nothing,
    /// Nothing at all, for this cause.
    Silent(String),
    /// It was not asked, for this reason.
    NotAsked(&'static str),
}

/// Everything that is known of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Its row.
    pub row: Answer<OrderRow>,
    /// Its accounts, in the order of its legs.
    pub accounts: Vec<(AccountId, Answer<Account>)>,
    /// Its holds and entries, one line each, by account shard.
    pub movements: Vec<(String, Answer<Vec<String>>)>,
    /// Its partition of the log.
    pub log: Answer<LogEvidence>,
    /// Its dead letters' causes.
    pub dead_letters: Answer<Vec<String>>,
    /// Whether Redis has its marker.
    pub marker: Answer<()>,
    /// Its document.
    pub document: Answer<Document>,
    /// How fresh search is.
    pub search_as_of: Option<DateTime<Utc>>,
}

/// Its partition of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvidence {
    /// Which one.
    pub partition: i32,
    /// What the consumers have dealt with.
    pub committed: i64,
    /// How many records they have not.
    pub lag: i64,
    /// Its records, oldest first.
    pub records: Vec<Record>,
    /// Whether all was read that may hold one: of its partition, of what waits, and of the dead
    /// letters.
    pub whole: bool,
    /// The partition and offset on the retry topic where it waits for its order shard.
    pub waiting: Option<(i32, i64)>,
}

impl<T> Answer<T> {
    /// What is known, if anything.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Nothing | Self::Silent(_) | Self::NotAsked(_) => None,
        }
    }

    /// Whether the server could not be asked.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Silent(_))
    }
}

impl<T, E: std::error::Error + 'static> From<Result<Option<T>, E>> for Answer<T> {
    fn from(result: Result<Option<T>, E>) -> Self {
        match result {
            Ok(Some(known)) => Self::Known(known),
            Ok(None) => Self::Nothing,
            Err(error) => Self::Silent(cause::told(&error)),
        }
    }
}
