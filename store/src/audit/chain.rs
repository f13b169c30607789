//! How entries are chained, and what breaks a chain: pure.
//!
//! An entry's hash is SHA-256 over a version tag, the shard's name, the entry's number, the hash of the
//! entry before and every field, each preceded by its length. So no two entries encode alike, none
//! can stand at another place or on another shard, and whoever alters one must rewrite all after it,
//! which whoever has written down a later number and hash can see.

use super::{Entry, EntryHash};
use chrono::{DateTime, Utc};
use domain::ShardName;
use sha2::{Digest, Sha256};
use std::fmt;

/// What the encoding begins with; another encoding gets another tag.
const VERSION: &str = "holdfast audit entry 1";

/// The newest entry of a chain; number 0 of an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: EntryHash,
}

/// The first thing that is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// These entries are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        through: u64,
    },
    /// A field of this entry is not what its hash was made of.
    Altered {
        /// Which entry.
        seq: u64,
    },
    /// This entry is whole, but follows another than the one that is there before it.
    Unlinked {
        /// Which entry.
        seq: u64,
    },
    /// One of the next thousand entries after this one cannot be read, as none is that we wrote.
    Unreadable {
        /// The last one before.
        after: u64,
    },
    /// The row that names the newest entry is not there.
    NoHead,
    /// The head names an entry of this number and another hash.
    OtherHead {
        /// Which entry.
        seq: u64,
    },
    /// There are entries after the head, which no action of ours leaves.
    AfterHead {
        /// The first of them.
        seq: u64,
    },
    /// The chain ends before an entry that was written down as expected.
    Shorter {
        /// The last entry there is.
        last: u64,
        /// Which one was expected.
        expected: u64,
    },
    /// The entry of this number has another hash than was written down: it, or one before it, was
    /// rewritten with all that follow.
    Rewritten {
        /// Which entry.
        seq: u64,
    },
}

impl Head {
    /// Of a chain without entries.
    pub const EMPTY: Self = Self {
        seq: 0,
        hash: EntryHash::NONE,
    };

    /// The head once this entry is added; what is wrong where it does not follow.
    pub(crate) fn next(self, shard: ShardName, entry: &Entry) -> Result<Self, Break> {
        let expected = self.seq + 1;
        if entry.seq > expected {
            return Err(Break::Missing {
                from: expected,
                through: entry.seq - 1,
            });
        }
        if entry.seq < expected || hash_of(shard, entry) != entry.hash {
            return Err(Break::Altered { seq: entry.seq });
        }
        if entry.prev_hash != self.hash {
            return Err(Break::Unlinked { seq: entry.seq });
        }
        Ok(Self {
            seq: entry.seq,
            hash: entry.hash,
        })
    }
}

/// The hash of an entry of this shard, whatever its field `hash` says.
pub(crate) fn hash_of(shard: ShardName, entry: &Entry) -> EntryHash {
    let mut hash = Sha256::new();
    encode(shard, entry, |part| hash.update(part));
    EntryHash::from_bytes(hash.finalize().into())
}

fn encode(shard: ShardName, entry: &Entry, mut put: impl FnMut(&[u8])) {
    let Entry {
        seq,
        at,
        tenant,
        actor,
        via,
        action,
        object,
        detail,
        request_id,
        prev_hash,
        hash: _,
    } = entry;
    let parts: [&[u8]; 12] = [
        VERSION.as_bytes(),
        &shard.to_string().into_bytes(),
        &seq.to_be_bytes(),
        prev_hash.as_bytes(),
        &microseconds(*at).to_be_bytes(),
        tenant.as_bytes(),
        actor.as_bytes(),
        via.as_bytes(),
        action.as_bytes(),
        object.as_bytes(),
        detail.as_bytes(),
        request_id.as_bytes(),
    ];
    for part in parts {
        put(&(part.len() as u64).to_be_bytes());
        put(part);
    }
}

/// As exact as the column is.
fn microseconds(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { from, through } if from == through => {
                write!(f, "entry {from} is missing")
            }
            Self::Missing { from, through } => {
                write!(f, "entries {from} to {through} are missing")
            }
            Self::Altered { seq } => write!(f, "entry {seq} was altered"),
            Self::Unlinked { seq } => write!(
                f,
                "entry {seq} does not follow entry {}, which was replaced",
                seq.saturating_sub(1)
            ),
            Self::Unreadable { after } => {
                write!(
                    f,
                    "an entry after entry {after} cannot be read: it was altered"
                )
            }
            Self::NoHead => write!(f, "the head, which names the newest entry, was removed"),
            Self::OtherHead { seq } => write!(
                f,
                "the head was taken of another entry {seq} than the one that is there"
            ),
            Self::AfterHead { seq } => {
                write!(
                    f,
                    "entry {seq} stands after the head, which knows nothing of it"
                )
            }
            Self::Shorter { last, expected } => write!(
                f,
                "the chain ends at entry {last}, and entry {expected} was expected: it was cut"
            ),
            Self::Rewritten { seq } => write!(
                f,
                "entry {seq} has another hash than expected: the chain was rewritten"
            ),
        }
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
