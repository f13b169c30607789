//! Follows the chain of one shard from its first entry to its last, in pages and flat memory.

use super::{AuditTrail, Break, EntryHash, Head, table};
use crate::StoreError;
use domain::ShardName;
use sqlx::mysql::MySqlConnection;
use std::ops::ControlFlow;

/// Entries read at once.
const PAGE: u32 = 1_000;

/// An entry that somebody has written down, to find it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Of which shard.
    pub shard: ShardName,
    /// Which entry.
    pub seq: u64,
    /// What its hash was.
    pub hash: EntryHash,
}

/// What a shard's chain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardCheck {
    /// The last entry up to which the chain holds; its number is also how many there are.
    pub last: Head,
    /// What is wrong right after that, or with it.
    pub broken: Option<Break>,
}

impl ShardCheck {
    fn without_head(last: Head) -> Self {
        Self {
            last,
            broken: Some(Break::NoHead),
        }
    }
}

impl AuditTrail {
    /// Follows a shard's chain, and looks whether it has the entries expected of this shard. `progress`
    /// is told, page by page, how many entries hold and how many the head speaks of.
    ///
    /// The head is read first: what is committed later is followed too, and belongs to a head that
    /// is read again at the end.
    pub async fn check(
        &self,
        shard: ShardName,
        expected: &[Expected],
        mut progress: impl FnMut(u64, u64),
    ) -> Result<ShardCheck, StoreError> {
        let Some(head) = self.on(shard, table::head).await? else {
            return Ok(ShardCheck::without_head(Head::EMPTY));
        };
        let mut check = Check::new(shard, head, expected);
        loop {
            // Also what stands before the first entry, where nothing may be.
            let from = match check.last.seq {
                0 => 0,
                last => last + 1,
            };
            let page = async |conn: &mut MySqlConnection| table::page_from(conn, from, PAGE).await;
            let Some(page) = self.on(shard, page).await? else {
                let after = check.last.seq;
                return Ok(check.broken(Break::Unreadable { after }));
            };
            for entry in &page {
                if let ControlFlow::Break(broken) = check.follow(entry) {
                    return Ok(check.broken(broken));
                }
            }
            progress(check.last.seq, head.seq);
            if page.len() < PAGE as usize {
                break;
            }
        }
        Ok(match self.on(shard, table::head).await? {
            Some(now) => check.finish(now),
            None => ShardCheck::without_head(check.last),
        })
    }
}

/// A chain as far as it was followed: pure.
struct Check<'a> {
    shard: ShardName,
    /// As it was before the first entry was read.
    head: Head,
    expected: &'a [Expected],
    last: Head,
}

impl<'a> Check<'a> {
    fn new(shard: ShardName, head: Head, expected: &'a [Expected]) -> Self {
        Self {
            shard,
            head,
            expected,
            last: Head::EMPTY,
        }
    }

    fn follow(&mut self, entry: &super::Entry) -> ControlFlow<Break> {
        let last = match self.last.next(self.shard, entry) {
            Ok(last) => last,
            Err(broken) => return ControlFlow::Break(broken),
        };
        if last.seq == self.head.seq && last.hash != self.head.hash {
            return ControlFlow::Break(Break::OtherHead { seq: last.seq });
        }
        let mut expected = self.expected_here();
        if expected.any(|expected| expected.seq == last.seq && expected.hash != last.hash) {
            return ControlFlow::Break(Break::Rewritten { seq: last.seq });
        }
        self.last = last;
        ControlFlow::Continue(())
    }

    fn expected_here(&self) -> impl Iterator<Item = &'a Expected> + use<'a> {
        let shard = self.shard;
        self.expected.iter().filter(move |e| e.shard == shard)
    }

    fn broken(self, broken: Break) -> ShardCheck {
        ShardCheck {
            last: self.last,
            broken: Some(broken),
        }
    }

    /// The end, with the head as it is now.
    fn finish(self, now: Head) -> ShardCheck {
        let last = self.last.seq;
        let furthest = self.expected_here().map(|expected| expected.seq).max();
        let broken = match furthest {
            _ if self.head.seq > last => Some(Break::Missing {
                from: last + 1,
                through: self.head.seq,
            }),
            _ if now.seq < last => Some(Break::AfterHead { seq: now.seq + 1 }),
            Some(expected) if expected > last => Some(Break::Shorter { last, expected }),
            Some(_) | None => None,
        };
        ShardCheck {
            last: self.last,
            broken,
        }
    }
}
