//! The changes of a transaction whose end has not come yet.
//!
//! Rows in the binlog are not yet facts: a server that died while it wrote them leaves a beginning
//! without an end, and one that undid a part of a transaction may have written that part down (MariaDB
//! does so where tables without transactions took part). So changes wait here for the end. A very
//! large transaction is let out before; if it is undone after that, a person has to look.

use crate::batch::{Batch, DeadLetter};
use crate::hazard::Hazard;
use crate::replication::add_row;
use crate::rows::OrderRow;
use crate::table::OrdersTable;
use std::collections::HashSet;
use std::sync::Arc;

/// Changes that are held back; a transaction of our services has a few hundred.
const CHANGES_MAX: usize = 2_000;

/// What was read of a transaction.
#[derive(Debug, Default)]
pub struct OpenTransaction {
    changes: Vec<Held>,
    /// How many changes there were when each savepoint was set.
    savepoints: Vec<(String, usize)>,
    /// The savepoints that were set before any order had changed.
    before_changes: HashSet<String>,
    is_partly_out: bool,
}

#[derive(Debug)]
enum Held {
    Row(Box<OrderRow>, Arc<OrdersTable>),
    DeadLetter(DeadLetter),
}

impl OpenTransaction {
    /// Adds a row as it is after the change.
    pub fn add_row(&mut self, row: Box<OrderRow>, table: &Arc<OrdersTable>) {
        self.changes.push(Held::Row(row, Arc::clone(table)));
    }

    /// Adds what cannot be a document.
    pub fn add_dead_letter(&mut self, letter: DeadLetter) {
        self.changes.push(Held::DeadLetter(letter));
    }

    /// Hands on what is held if it is too much to hold.
    pub fn let_out_if_large(&mut self, batch: &mut Batch) {
        if self.changes.len() > CHANGES_MAX {
            self.is_partly_out = true;
            self.savepoints.clear();
            hand_on(&mut self.changes, batch);
        }
    }

    /// The transaction is complete: hands on all of it.
    pub fn complete(&mut self, batch: &mut Batch) {
        hand_on(&mut self.changes, batch);
        *self = Self::default();
    }

    /// The transaction never was.
    pub fn undo(&mut self) -> Result<(), Hazard> {
        if self.is_partly_out {
            return Err(Hazard::Undone);
        }
        *self = Self::default();
        Ok(())
    }

    /// A point that the transaction may go back to.
    pub fn set_savepoint(&mut self, name: String) {
        if self.changes.is_empty() && !self.is_partly_out {
            self.savepoints.clear();
            self.before_changes.insert(name);
            return;
        }
        self.before_changes.remove(&name);
        self.savepoints.retain(|(known, _)| *known != name);
        self.savepoints.push((name, self.changes.len()));
    }

    /// What came after the savepoint never was.
    pub fn undo_to_savepoint(&mut self, name: &str) -> Result<(), Hazard> {
        match self.savepoints.iter().position(|(known, _)| known == name) {
            Some(at) => {
                let count = self.savepoints.get(at).map_or(0, |(_, count)| *count);
                self.changes.truncate(count);
                self.savepoints.truncate(at + 1);
                Ok(())
            }
            None if self.is_partly_out => Err(Hazard::Undone),
            None if self.changes.is_empty() => Ok(()),
            None if self.before_changes.contains(name) => {
                self.changes.clear();
                self.savepoints.clear();
                Ok(())
            }
            None => Err(Hazard::Undone),
        }
    }
}

fn hand_on(changes: &mut Vec<Held>, batch: &mut Batch) {
    for change in changes.drain(..) {
        match change {
            Held::Row(row, table) => add_row(batch, *row, &table.shard),
            Held::DeadLetter(letter) => batch.add_dead_letter(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search_writer::now;
    use domain::OrderId;

    fn letter(number: u64) -> DeadLetter {
        DeadLetter {
            order_id: OrderId::from_bytes([1; 16]),
            shard: "orders-0".to_owned(),
            version: number.to_string(),
            reason: String::new(),
            failed_at: now(),
            document: None,
        }
    }

    fn with(numbers: std::ops::Range<u64>) -> OpenTransaction {
        let mut open = OpenTransaction::default();
        numbers.for_each(|number| open.add_dead_letter(letter(number)));
        open
    }

    fn handed_on(mut open: OpenTransaction) -> Vec<String> {
        let mut batch = Batch::default();
        open.complete(&mut batch);
        let (_, letters, _) = batch.into_parts();
        letters.into_iter().map(|letter| letter.version).collect()
    }

    #[test]
    fn changes_wait_for_the_end() {
        let mut open = with(0..2);
        let mut batch = Batch::default();
        open.let_out_if_large(&mut batch);
        assert!(batch.is_empty());
        assert_eq!(handed_on(open), ["0", "1"]);
    }

    #[test]
    fn what_was_undone_is_not_handed_on() {
        let mut open = with(0..2);
        assert_eq!(open.undo(), Ok(()));
        assert!(handed_on(open).is_empty());
    }

    #[test]
    fn what_came_after_a_savepoint_can_be_undone_again_and_again() {
        let mut open = with(0..1);
        for name in ["a", "b", "a"] {
            open.set_savepoint(name.to_owned());
            open.add_dead_letter(letter(1));
        }
        // The second "a" took the place of the first, so three changes were there.
        assert_eq!(open.undo_to_savepoint("a"), Ok(()));
        assert_eq!(open.changes.len(), 3);
        open.add_dead_letter(letter(2));
        assert_eq!(open.undo_to_savepoint("a"), Ok(()));
        assert_eq!(open.changes.len(), 3);
        assert_eq!(open.undo_to_savepoint("b"), Ok(()));
        // What "b" took back took the later "a" with it.
        assert_eq!(open.undo_to_savepoint("a"), Err(Hazard::Undone));
        assert_eq!(handed_on(open), ["0", "1"]);
        // Somebody else's savepoint, before any order changed.
        assert_eq!(OpenTransaction::default().undo_to_savepoint("x"), Ok(()));
        let mut open = OpenTransaction::default();
        open.set_savepoint("early".to_owned());
        open.add_dead_letter(letter(1));
        open.set_savepoint("late".to_owned());
        assert_eq!(open.undo_to_savepoint("early"), Ok(()));
        assert_eq!(open.undo_to_savepoint("late"), Ok(()), "nothing is left");
        open.add_dead_letter(letter(2));
        assert_eq!(open.undo_to_savepoint("late"), Err(Hazard::Undone));
        assert_eq!(handed_on(open), ["2"]);
    }

    #[test]
    fn a_very_large_transaction_is_let_out_and_cannot_be_undone_after_that() {
        let mut open = with(0..2_001);
        let mut batch = Batch::default();
        open.let_out_if_large(&mut batch);
        let (_, letters, _) = batch.into_parts();
        assert_eq!(letters.len(), 2_001);
        open.add_dead_letter(letter(7));
        assert_eq!(open.undo(), Err(Hazard::Undone));
        assert_eq!(open.undo_to_savepoint("a"), Err(Hazard::Undone));
        assert_eq!(handed_on(open), ["7"]);
    }
}
