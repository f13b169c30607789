//! Whether a row and its document really differ: both are looked at twice, the document first each
//! time, so that a row may be newer than its document because it changed in between, never older.
//! In between search gets the time to come up to what was seen.

use super::difference::{Contradiction, Difference, Kind};
use super::findings::Findings;
use super::moment::{newest_clock, wait_for};
use super::row::{SeenRow, is_open};
use super::{Reconciliation, Search, search_pair};
use crate::search_ranges::Found;
use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use domain::OrderId;
use std::collections::HashMap;
use std::time::Duration;
use store::Lookup;

/// How many orders are asked for at once.
const ORDERS_AT_ONCE: usize = 1_000;
/// How long search gets to come up to what was seen.
const CATCH_UP: Duration = Duration::from_secs(10);
/// No statement is committed later than this: a session that is idle for so long is ended.
const COMMITTED_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// What was seen of an order at one time.
#[derive(Debug, Clone)]
pub struct Look {
    /// The order's id, or what stands in a document in its place.
    pub id: String,
    /// Its row.
    pub row: SeenRow,
    /// Its document.
    pub found: Option<Found>,
    /// How they contradict each other.
    pub said: Option<Contradiction>,
}

/// What two looks mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Agree,
    InFlight,
    Differ,
}

/// How far search was when the second look began.
#[derive(Debug, Clone, Copy)]
struct Freshness {
    as_of: Option<DateTime<Utc>>,
    /// When the first look was over, by the order shards' clocks.
    seen_at: DateTime<Utc>,
}

impl Reconciliation<'_> {
    /// Those whose rows and documents contradict each other now.
    pub async fn search_suspects(
        &self,
        search: &Search,
        ids: &[String],
    ) -> anyhow::Result<Vec<Look>> {
        let mut looks = self.look(search, ids).await?;
        looks.retain(|look| look.said.is_some() && !look.row.is_before(self.moment.since));
        Ok(looks)
    }

    async fn look(&self, search: &Search, ids: &[String]) -> anyhow::Result<Vec<Look>> {
        let mut looks = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ORDERS_AT_ONCE) {
            let documents = search.ranges.get(ids).await?;
            let rows = self.rows(ids).await?;
            for ((id, found), row) in ids.iter().zip(documents).zip(rows) {
                let (row, shard) = row;
                let said = search_pair::compare(&row, found.as_ref(), &shard);
                let id = id.clone();
                looks.push(Look {
                    id,
                    row,
                    found,
                    said,
                });
            }
        }
        Ok(looks)
    }

    /// The rows of these ids and their shards, in the order asked. What is no order's id has no row.
    async fn rows(&self, ids: &[String]) -> anyhow::Result<Vec<(SeenRow, String)>> {
        let parsed: Vec<Option<OrderId>> = ids.iter().map(|id| id.parse().ok()).collect();
        let asked: Vec<OrderId> = parsed.iter().flatten().copied().collect();
        let mut answers = self.order_rows(&asked).await?.into_iter();
        let row = |id: Option<OrderId>| match id {
            None => (SeenRow::Missing, String::new()),
            Some(id) => {
                let shard = self.stores.routing().order_shard(id).to_string();
                (answers.next().unwrap_or(SeenRow::Missing), shard)
            }
        };
        Ok(parsed.into_iter().map(row).collect())
    }

    /// The rows of these orders, in the order asked.
    pub async fn order_rows(&self, ids: &[OrderId]) -> anyhow::Result<Vec<SeenRow>> {
        let mut rows = Vec::with_capacity(ids.len());
        for lookup in self.stores.orders.find(ids).await {
            rows.push(match lookup {
                Lookup::Found(row) => SeenRow::Row(row),
                Lookup::Missing => SeenRow::Missing,
                Lookup::Unreadable(cause) => SeenRow::Unreadable(cause),
                Lookup::Unreachable(cause) => bail!(cause),
            });
        }
        Ok(rows)
    }

    /// Looks again, and takes in what differs still.
    pub async fn settle_search(
        &self,
        search: &Search,
        suspects: Vec<Look>,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        if suspects.is_empty() {
            return Ok(());
        }
        let seen_at = newest_clock(self.stores).await?;
        let as_of = wait_for(search, seen_at, self.patience()).await?;
        self.remember(as_of.is_some_and(|as_of| as_of >= seen_at));
        let ids: Vec<String> = suspects.iter().map(|look| look.id.clone()).collect();
        let again = self.look(search, &ids).await?;
        let freshness = Freshness { as_of, seen_at };
        let mut differing = Vec::new();
        for (first, second) in suspects.into_iter().zip(again) {
            match verdict(&first, &second, freshness) {
                Verdict::Agree => {}
                Verdict::InFlight if self.is_counted_in_flight(&first) => {}
                Verdict::InFlight => findings.in_flight += 1,
                Verdict::Differ => differing.push(second),
            }
        }
        self.record(search, differing, findings).await
    }

    /// A search that did not come up to what was seen is not waited for a second time.
    fn patience(&self) -> Duration {
        match self.search_stands_still.get() {
            true => Duration::ZERO,
            false => CATCH_UP,
        }
    }

    fn remember(&self, came_up: bool) {
        self.search_stands_still.set(!came_up);
    }

    /// The first pass has counted those that are open or young.
    fn is_counted_in_flight(&self, look: &Look) -> bool {
        let settled = self.moment.settledness().search;
        let row = look.row.row();
        row.is_some_and(|row| is_open(row.state) || !settled.holds(row.updated_at))
    }

    async fn record(
        &self,
        search: &Search,
        differing: Vec<Look>,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let letters = dead_letters(search, &differing).await?;
        let repaired = match self.repair_search {
            true => self.repair(search, &differing, findings).await?,
            false => vec![false; differing.len()],
        };
        for (look, repaired) in differing.into_iter().zip(repaired) {
            let Look { id, said, .. } = look;
            let Some(said) = said else { continue };
            let mut difference = Difference::of(id, said);
            if let Some(reason) = letters.get(&difference.order_id) {
                difference.explain_by_dead_letter(reason);
            }
            difference.repaired = repaired;
            findings.add(difference);
        }
        Ok(())
    }
}

/// Dead letters explain why a document is not what its row says.
async fn dead_letters(
    search: &Search,
    differing: &[Look],
) -> anyhow::Result<HashMap<String, String>> {
    let may_have_one = |look: &&Look| {
        kind(look).is_some_and(|kind| is_behind(kind) || kind == Kind::UnreadableRow)
    };
    let ids: Vec<String> = differing
        .iter()
        .filter(may_have_one)
        .map(|look| look.id.clone())
        .collect();
    let mut letters = HashMap::new();
    for ids in ids.chunks(ORDERS_AT_ONCE) {
        letters.extend(search.ranges.dead_letters(ids).await?);
    }
    Ok(letters)
}

fn kind(look: &Look) -> Option<Kind> {
    look.said.as_ref().map(|said| said.kind)
}

/// Whether the follower may still bring the document.
fn is_behind(kind: Kind) -> bool {
    [Kind::MissingDocument, Kind::OlderDocument].contains(&kind)
}

fn verdict(first: &Look, second: &Look, freshness: Freshness) -> Verdict {
    let Some(kind) = kind(second) else {
        return Verdict::Agree;
    };
    let version = |look: &Look| look.row.row().map(|row| row.version);
    if version(first) != version(second) {
        return Verdict::InFlight;
    }
    let is_still = if is_behind(kind) {
        is_due(second, freshness)
    } else {
        first.found == second.found
    };
    match is_still {
        true => Verdict::Differ,
        false => Verdict::InFlight,
    }
}

/// Whether search has passed what was seen, so that the document must be there.
fn is_due(look: &Look, Freshness { as_of, seen_at }: Freshness) -> bool {
    let Some(as_of) = as_of else { return false };
    let written = look.row.row().map(|row| row.updated_at);
    let committed = written.and_then(|time| time.checked_add_signed(COMMITTED_WITHIN));
    as_of >= seen_at || committed.is_some_and(|committed| committed <= as_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_orders::samples::row;
    use serde_json::json;

    fn look(version: u64, document: Option<u64>) -> Look {
        let row = SeenRow::Row(Box::new(store::OrderRow { version, ..row() }));
        let found = document.map(|version| Found {
            id: "ord_7".into(),
            version,
            source: json!({ "version": version }),
        });
        Look {
            id: "ord_7".into(),
            said: search_pair::compare(&row, found.as_ref(), "orders-0"),
            row,
            found,
        }
    }

    fn at(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(seconds, 0)
    }

    fn seen(as_of: Option<DateTime<Utc>>, seconds: i64) -> Freshness {
        Freshness {
            as_of,
            seen_at: at(seconds).unwrap(),
        }
    }

    #[test]
    fn what_is_behind_differs_once_search_has_passed_what_was_seen() {
        let missing = look(2, None);
        let older = look(2, Some(1));
        for look in [missing, older] {
            let judged = |freshness| verdict(&look, &look, freshness);
            assert_eq!(judged(seen(None, 20)), Verdict::InFlight);
            assert_eq!(judged(seen(at(19), 20)), Verdict::InFlight);
            assert_eq!(judged(seen(at(20), 20)), Verdict::Differ);
            // Its row was written at 0, and search stands still at 60.
            assert_eq!(judged(seen(at(59), 90)), Verdict::InFlight);
            assert_eq!(judged(seen(at(60), 90)), Verdict::Differ);
        }
    }

    #[test]
    fn what_moved_between_the_looks_is_in_flight() {
        let fresh = seen(at(20), 20);
        assert_eq!(
            verdict(&look(1, None), &look(2, None), fresh),
            Verdict::InFlight
        );
        let (two, three) = (look(1, Some(2)), look(1, Some(3)));
        assert_eq!(verdict(&two, &three, fresh), Verdict::InFlight);
        assert_eq!(verdict(&three, &three, fresh), Verdict::Differ);
    }

    #[test]
    fn what_agrees_at_the_second_look_is_no_difference() {
        let mut arrived = look(2, None);
        arrived.said = None;
        let verdict = verdict(&look(2, None), &arrived, seen(at(20), 20));
        assert_eq!(verdict, Verdict::Agree);
    }
}
