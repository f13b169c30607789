//! What a recording client was told, held against what stands in the stores.

use crate::attempt::{Asked, Attempt, Told};
use crate::facts::OrderFacts;
use std::collections::{BTreeMap, HashMap};

const PAID: u8 = 10;
const CANCELLED: u8 = 11;
const EXPIRED: u8 = 5;

/// What the orders of a history came to, and every promise that was broken, in a sentence each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Orders that were accepted.
    pub accepted: usize,
    /// Orders that were paid, told or not.
    pub paid: usize,
    /// Orders that were cancelled.
    pub cancelled: usize,
    /// Of these, the ones that ran out of time.
    pub expired: usize,
    /// Orders nobody ever answered for; whether they happened or not, it is right.
    pub unknown: usize,
    /// Minor units that moved.
    pub moved: i64,
    /// Accepted, and not there or not ended.
    pub lost: Vec<String>,
    /// More than one row, more or other than two entries, or money moved by what did not happen.
    pub doubled: Vec<String>,
    /// Refused as `not_enqueued`, and yet it happened.
    pub untrue: Vec<String>,
    /// The same key named two orders, or an order was shown as what it is not.
    pub mistaken: Vec<String>,
}

impl Figures {
    /// Every broken promise.
    pub fn breaches(&self) -> impl Iterator<Item = &String> {
        let of = [&self.lost, &self.doubled, &self.untrue, &self.mistaken];
        of.into_iter().flatten()
    }
}

/// Judges all attempts of a merchant. `id_of` derives an order's id from its key.
pub fn judge(
    attempts: &[Attempt],
    facts: &HashMap<String, OrderFacts>,
    id_of: impl Fn(&str) -> String,
) -> Figures {
    let mut by_key: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        by_key.entry(&attempt.key).or_default().push(attempt);
    }
    let mut figures = Figures::default();
    let mut asked_for = HashMap::new();
    for (key, attempts) in by_key {
        let id = id_of(key);
        let order = facts.get(&id).filter(|order| order.rows > 0);
        figures.judge_answers(&id, &attempts, order);
        match order {
            Some(order) => figures.judge_order(&id, order, &attempts),
            None => figures.judge_absence(&id, facts.get(&id)),
        }
        asked_for.insert(id, ());
    }
    let nobodys = facts
        .iter()
        .filter(|(id, order)| order.rows > 0 && !asked_for.contains_key(*id));
    figures
        .doubled
        .extend(nobodys.map(|(id, _)| format!("{id} is an order that nobody asked for")));
    figures
}

impl Figures {
    fn judge_answers(&mut self, id: &str, attempts: &[&Attempt], order: Option<&OrderFacts>) {
        let mut accepted = false;
        for attempt in attempts {
            match &attempt.told {
                Told::Accepted { id: named, status } => {
                    accepted = true;
                    if named != id {
                        self.mistaken.push(format!("{id} was accepted as {named}"));
                    }
                    let shown = order.map_or("processing", |order| word(order.state));
                    if status != "processing" && status != shown {
                        self.mistaken
                            .push(format!("{id} was answered {status} and is {shown}"));
                    }
                }
                Told::Strange(what) => self.mistaken.push(format!("{id} was answered with {what}")),
                Told::OtherBodyStands => {
                    if order.is_some_and(|order| order.amount == attempt.asked.amount) {
                        self.mistaken
                            .push(format!("{id} was taken for another than it is"));
                    }
                }
                Told::NotEnqueued | Told::OutcomeUnknown | Told::NoAnswer => {}
            }
        }
        let unknown = attempts.iter().any(|attempt| attempt.told.is_unknown());
        self.accepted += usize::from(accepted);
        self.unknown += usize::from(unknown && !accepted);
        match order {
            None if accepted => self
                .lost
                .push(format!("{id} was accepted and is not there")),
            Some(_) if !accepted && !unknown => self
                .untrue
                .push(format!("{id} was refused every time, and yet it is there")),
            None | Some(_) => {}
        }
    }

    fn judge_order(&mut self, id: &str, order: &OrderFacts, attempts: &[&Attempt]) {
        if order.rows > 1 {
            self.doubled.push(format!("{id} has {} rows", order.rows));
        }
        let may_stand = |attempt: &&&Attempt| {
            let stands = matches!(attempt.told, Told::Accepted { .. });
            (stands || attempt.told.is_unknown()) && attempt.asked.amount == order.amount
        };
        let Some(attempt) = attempts.iter().find(may_stand) else {
            let said = format!("{id} is for {}, which nobody was promised", order.amount);
            return self.mistaken.push(said);
        };
        let (expected, held) = match order.state {
            PAID => (entries_of(&attempt.asked), 0),
            CANCELLED => (Vec::new(), 0),
            state => return self.lost.push(format!("{id} has not ended: state {state}")),
        };
        let mut entries = order.entries.clone();
        entries.sort();
        if entries != expected || order.open_holds != held {
            self.doubled.push(format!(
                "{id} is {}, and has the entries {entries:?} and {} open holds",
                word(order.state),
                order.open_holds
            ));
        }
        if order.state == PAID {
            self.paid += 1;
            self.moved += order.amount;
        } else {
            self.cancelled += 1;
            self.expired += usize::from(order.reason == EXPIRED);
        }
    }

    fn judge_absence(&mut self, id: &str, traces: Option<&OrderFacts>) {
        if let Some(traces) = traces {
            self.doubled
                .push(format!("{id} has no row, and yet moved money: {traces:?}"));
        }
    }
}

fn entries_of(asked: &Asked) -> Vec<(String, i64)> {
    let mut entries = vec![
        (asked.payer.clone(), -asked.amount),
        (asked.payee.clone(), asked.amount),
    ];
    entries.sort();
    entries
}

/// The word that the API shows for a state.
pub(crate) fn word(state: u8) -> &'static str {
    match state {
        PAID => "paid",
        CANCELLED => "cancelled",
        _ => "processing",
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
