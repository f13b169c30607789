//! Sets of MySQL's global transaction ids: what a position is made of.
//!
//! The text is MySQL's: `uuid:1-5:7:tag:1-3,uuid:1`. A tag belongs to the uuid before it and stands
//! for all intervals up to the next tag or uuid.

use mysql_async::Sid;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A server's uuid and, since MySQL 8.4, perhaps a tag: what numbers are counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The 16 bytes of the uuid.
    pub uuid: [u8; 16],
    /// The tag; most transactions have none.
    pub tag: Option<String>,
}

/// One transaction's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gtid {
    /// Who counted.
    pub source: Source,
    /// The number, from 1.
    pub number: u64,
}

/// Intervals of one source: sorted, apart from each other, ends exclusive.
type Intervals = Vec<(u64, u64)>;

/// A set of transaction ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet(BTreeMap<Source, Intervals>);

/// A text that is not a set of transaction ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a GTID set")]
pub struct GtidSetError(String);

impl GtidSet {
    /// Whether there is no id in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one id.
    pub fn insert(&mut self, gtid: Gtid) {
        let end = gtid.number.saturating_add(1);
        add_interval(self.0.entry(gtid.source).or_default(), gtid.number, end);
    }

    /// Adds every id of the other set.
    pub fn merge(&mut self, other: &Self) {
        for (source, intervals) in &other.0 {
            if !self.0.contains_key(source) {
                self.0.insert(source.clone(), intervals.clone());
            } else if let Some(ours) = self.0.get_mut(source) {
                for &(start, end) in intervals {
                    add_interval(ours, start, end);
                }
            }
        }
    }

    /// Whether every id of the other set is in this one.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(source, intervals)| {
            let ours = self.0.get(source).map_or(&[][..], Vec::as_slice);
            intervals.iter().all(|&interval| covers(ours, interval))
        })
    }

    /// How many ids are in it.
    pub fn len(&self) -> u64 {
        let intervals = self.0.values().flatten();
        intervals.map(|(start, end)| end - start).sum()
    }

    /// How many ids of the other set are not in this one.
    pub fn lacks(&self, other: &Self) -> u64 {
        let mut both = self.clone();
        both.merge(other);
        both.len() - self.len()
    }

    /// The set as a dump request takes it: one block per uuid and tag.
    pub fn to_sids(&self) -> Result<Vec<Sid<'static>>, GtidSetError> {
        let block = |(source, intervals): (&Source, &Intervals)| {
            let text = format!("{}{}", source, IntervalList(intervals));
            text.parse::<Sid<'static>>().map_err(|_| GtidSetError(text))
        };
        self.0.iter().map(block).collect()
    }
}

/// Adds `[start, end)` and joins what touches it. New ids nearly always extend the last interval.
fn add_interval(intervals: &mut Intervals, start: u64, end: u64) {
    if let Some(last) = intervals.last_mut()
        && last.1 == start
    {
        last.1 = end;
        return;
    }
    let first = intervals.partition_point(|&(_, e)| e < start);
    let past = intervals.partition_point(|&(s, _)| s <= end);
    let (mut low, mut high) = (start, end);
    if first < past {
        low = low.min(intervals[first].0);
        high = high.max(intervals[past - 1].1);
    }
    intervals.splice(first..past, [(low, high)]);
}

fn covers(ours: &[(u64, u64)], (start, end): (u64, u64)) -> bool {
    let at = ours.partition_point(|&(_, e)| e <= start);
    ours.get(at).is_some_and(|&(s, e)| s <= start && end <= e)
}

impl FromStr for GtidSet {
    type Err = GtidSetError;

    fn from_str(text: &str) -> Result<Self, GtidSetError> {
        let bad = || GtidSetError(text.to_owned());
        let mut set = Self::default();
        // MySQL breaks long sets into lines.
        for block in text.split(',').map(str::trim).filter(|b| !b.is_empty()) {
            let mut parts = block.split(':').map(str::trim);
            let uuid = parts.next().and_then(parse_uuid).ok_or_else(bad)?;
            let mut tag = None;
            for part in parts {
                if part.starts_with(|c: char| c.is_ascii_digit()) {
                    let (start, end) = parse_interval(part).ok_or_else(bad)?;
                    let source = Source {
                        uuid,
                        tag: tag.clone(),
                    };
                    add_interval(set.0.entry(source).or_default(), start, end);
                } else {
                    tag = Some(parse_tag(part).ok_or_else(bad)?);
                }
            }
        }
        Ok(set)
    }
}

fn parse_interval(text: &str) -> Option<(u64, u64)> {
    let (start, last) = match text.split_once('-') {
        Some((start, last)) => (start.trim().parse().ok()?, last.trim().parse().ok()?),
        None => {
            let number = text.parse().ok()?;
            (number, number)
        }
    };
    let end = u64::checked_add(last, 1)?;
    (start >= 1 && start < end).then_some((start, end))
}

fn parse_tag(text: &str) -> Option<String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let text = text.to_ascii_lowercase();
    let fits = text.len() <= 32 && text.starts_with(first) && text.chars().all(inner);
    fits.then_some(text)
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let mut uuid = [0; 16];
    hex::decode_to_slice(digits, &mut uuid).ok()?;
    Some(uuid)
}

/// A uuid as MySQL writes it.
pub fn format_uuid(uuid: &[u8; 16]) -> String {
    let hex = hex::encode(uuid);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

struct IntervalList<'a>(&'a Intervals);

impl fmt::Display for IntervalList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (start, end) in self.0 {
            match end - start {
                1 => write!(f, ":{start}")?,
                _ => write!(f, ":{start}-{}", end - 1)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_uuid(&self.uuid))?;
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (source, intervals)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{source}{}", IntervalList(intervals))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
