//! Looks orders up, writes them, and lets go or keeps their letters.

use super::judge::{Fate, after_write, again, seen, without_document};
use crate::search_index::SearchIndex;
use anyhow::Context;
use cdc_sync::batch::DeadLetter;
use cdc_sync::bulk::Outcome;
use cdc_sync::dead_letters::{self, KeptLetter, keep, remove};
use cdc_sync::document::Document;
use cdc_sync::repair;
use cdc_sync::search_client::{SearchClient, SearchError};
use cdc_sync::search_writer::now;
use domain::OrderId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;
use store::Stores;

/// How many are named in a dry run.
const NAMED_MAX: usize = 20;

/// What it works with.
pub struct Run<'a> {
    /// The orders.
    pub stores: &'a Stores,
    /// To read documents.
    pub index: &'a SearchIndex,
    /// To write documents and letters.
    pub client: &'a SearchClient,
    /// Whether anything is written.
    pub yes: bool,
    /// What was met.
    pub met: Met,
}

/// What was met on the way.
#[derive(Debug, Default)]
pub struct Met {
    orders: BTreeSet<OrderId>,
    letters: usize,
    removed: usize,
    /// One line each, of what stays.
    stay: Vec<String>,
    /// One line each, of what cannot be told.
    unknown: Vec<String>,
    /// One line each, of what would be done.
    would: Vec<String>,
}

type ByOrder = BTreeMap<OrderId, Vec<KeptLetter>>;

impl Run<'_> {
    /// Redrives the orders of these letters, or notes what would become of them.
    pub async fn redrive(&mut self, letters: Vec<KeptLetter>) -> anyhow::Result<()> {
        self.met.letters += letters.len();
        let mut by_order = ByOrder::new();
        for letter in letters {
            by_order.entry(letter.order_id).or_default().push(letter);
        }
        self.met.orders.extend(by_order.keys());
        let (documents, mut fates) = self.look_up(&by_order).await;
        if !self.yes {
            self.met.would_be(&documents, &fates);
            return Ok(());
        }
        fates.extend(self.write(documents).await?);
        for (order, fate) in fates {
            let letters = by_order.remove(&order).unwrap_or_default();
            self.settle(order, fate, letters).await?;
        }
        Ok(())
    }

    /// Names the orders that had no letter, and lets everybody find what was written.
    pub async fn end(&mut self, asked: &[OrderId]) -> anyhow::Result<()> {
        for order in asked.iter().filter(|id| !self.met.orders.contains(id)) {
            let line = format!("{order} has no dead letter like that");
            self.met.stay.push(line);
        }
        if self.yes {
            repair::refresh(self.client).await?;
            dead_letters::refresh(self.client).await?;
        }
        Ok(())
    }

    async fn look_up(&self, by_order: &ByOrder) -> (Vec<Document>, Vec<(OrderId, Fate)>) {
        let ids: Vec<OrderId> = by_order.keys().copied().collect();
        let found = self.stores.orders.find(&ids).await;
        let (mut documents, mut fates) = (Vec::new(), Vec::new());
        for (id, lookup) in ids.into_iter().zip(found) {
            let shard = self.stores.routing().order_shard(id).to_string();
            match without_document(seen(&lookup, &shard)) {
                Ok(document) => documents.push(*document),
                Err(fate) => fates.push((id, fate)),
            }
        }
        (documents, fates)
    }

    async fn write(&self, documents: Vec<Document>) -> anyhow::Result<Vec<(OrderId, Fate)>> {
        let outcomes = match repair::write(self.client, &documents).await {
            Ok(outcomes) => outcomes,
            Err(SearchError::Transient(cause)) => {
                vec![Outcome::Transient(cause); documents.len()]
            }
            Err(error @ SearchError::Definite(_)) => return Err(error.into()),
        };
        let sent: Vec<(Document, Outcome)> = documents.into_iter().zip(outcomes).collect();
        let newer = sent
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Newer);
        let newer: Vec<String> = newer.map(|(d, _)| d.order_id.to_string()).collect();
        let held = self.index.get(&newer).await?;
        let held = newer.into_iter().zip(held);
        let held: HashMap<String, u64> =
            held.filter_map(|(id, d)| Some((id, d?.version))).collect();
        let fates = sent.into_iter().map(|(document, outcome)| {
            let order = document.order_id;
            let held = held.get(&order.to_string()).copied();
            (order, after_write(document, outcome, held, now()))
        });
        Ok(fates.collect())
    }

    async fn settle(
        &mut self,
        order: OrderId,
        fate: Fate,
        letters: Vec<KeptLetter>,
    ) -> anyhow::Result<()> {
        match fate {
            Fate::Answered(version) => {
                let (answered, others): (Vec<_>, Vec<_>) = letters
                    .into_iter()
                    .partition(|letter| letter.is_superseded_by(version));
                self.remove(&answered).await?;
                let line = format!("{order}: a letter of a version after {version} stays");
                self.met.stay.extend(others.iter().map(|_| line.clone()));
            }
            Fate::RefusedAgain(letter) => {
                let line = format!("{order} was refused again: {}", letter.reason);
                self.met.stay.push(line);
                let version = letter.version.parse::<u64>().unwrap_or_default();
                self.keep(&[*letter]).await?;
                let is_older = |letter: &KeptLetter| {
                    letter.is_superseded_by(version) && letter.version != version.to_string()
                };
                let older: Vec<_> = letters.into_iter().filter(is_older).collect();
                self.remove(&older).await?;
            }
            Fate::UnreadableAgain(reason) => {
                self.met
                    .stay
                    .push(format!("{order} is no document: {reason}"));
                let failed_at = now();
                let letters = letters
                    .iter()
                    .map(|letter| again(letter, &reason, &failed_at));
                self.keep(&letters.collect::<Vec<_>>()).await?;
            }
            Fate::Stays(why) => self.met.stay.push(format!("{order}: {why}")),
            Fate::Unknown(cause) => self.met.unknown.push(format!("{order}: {cause}")),
        }
        Ok(())
    }

    async fn remove(&mut self, letters: &[KeptLetter]) -> anyhow::Result<()> {
        let removed = remove(self.client, letters).await;
        self.met.removed += removed.context("a dead letter that is answered was not removed")?;
        Ok(())
    }

    async fn keep(&self, letters: &[DeadLetter]) -> anyhow::Result<()> {
        let kept = keep(self.client, letters).await;
        kept.context("a dead letter was not kept with its new reason; the one before stays")
    }
}

impl Met {
    fn would_be(&mut self, documents: &[Document], fates: &[(OrderId, Fate)]) {
        let written = documents.iter().map(|document| {
            let Document {
                order_id, version, ..
            } = document;
            format!("{order_id} would be written as version {version}")
        });
        self.would.extend(written);
        for (order, fate) in fates {
            match fate {
                Fate::Answered(_) | Fate::RefusedAgain(_) => {}
                Fate::UnreadableAgain(reason) => {
                    self.stay.push(format!("{order} is no document: {reason}"));
                }
                Fate::Stays(why) => self.stay.push(format!("{order}: {why}")),
                Fate::Unknown(cause) => self.unknown.push(format!("{order}: {cause}")),
            }
        }
    }

    /// All of it in words.
    pub fn told(&self, yes: bool) -> String {
        if self.letters == 0 && self.stay.is_empty() {
            return "No dead letter of search is like that.\n".to_owned();
        }
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.would.iter().take(NAMED_MAX).cloned());
        if self.would.len() > NAMED_MAX {
            lines.push(format!("and {} more", self.would.len() - NAMED_MAX));
        }
        lines.extend(self.stay.iter().map(|line| format!("stays: {line}")));
        lines.extend(self.unknown.iter().map(|line| format!("not tried: {line}")));
        lines.push(match yes {
            true => format!(
                "{} dead letters of {} orders: {} removed, {} orders stay.",
                self.letters,
                self.orders.len(),
                self.removed,
                self.stay.len() + self.unknown.len()
            ),
            false => format!(
                "{} dead letters of {} orders. Nothing was written: run it again with --yes.",
                self.letters,
                self.orders.len()
            ),
        });
        lines.join("\n") + "\n"
    }

    /// 1 when letters stay, 2 when of some it cannot be told.
    pub fn code(&self) -> ExitCode {
        match (self.unknown.is_empty(), self.stay.is_empty()) {
            (false, _) => ExitCode::from(2),
            (true, false) => ExitCode::from(1),
            (true, true) => ExitCode::SUCCESS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::version;
    use super::*;

    #[test]
    fn a_dry_run_names_what_would_be_written_and_what_stays() {
        let order = version(3).order_id;
        let mut met = Met {
            letters: 2,
            orders: [order].into(),
            ..Met::default()
        };
        met.would_be(&[version(3)], &[(order, Fate::Stays("no such order"))]);
        let said = met.told(false);
        assert!(
            said.contains("would be written as version 3") && said.contains("--yes"),
            "{said}"
        );
        assert!(
            said.contains(&format!("stays: {order}: no such order")),
            "{said}"
        );
    }

    #[test]
    fn what_stays_and_what_is_unknown_is_told_by_the_exit_code() {
        let line = || vec!["a line".to_owned()];
        let mut met = Met::default();
        assert_eq!(met.code(), ExitCode::SUCCESS);
        assert!(met.told(true).contains("No dead letter"));
        met.stay = line();
        assert_eq!(met.code(), ExitCode::from(1));
        met.unknown = line();
        assert_eq!(met.code(), ExitCode::from(2));
    }
}
