//! The audit trail: who did what, through the API and through the operator's command.
//!
//! Each account shard has one chain of entries, each of which carries the hash of the one before
//! ([`chain`]). What is SQL on that shard (opening, closing and funding an account) writes its entry in
//! the SQL transaction of the deed: both are committed or neither. Everything else that is audited
//! (exports, and what an operator changes) writes what is asked *before* it is done, and is refused
//! where that cannot be written. The head of a chain is locked last, right before COMMIT, and by nobody
//! who waits for another lock, so that it takes part in no deadlock.
//!
//! Orders are not in here: an order's own row, with the digest of its body, is its evidence, and an
//! entry of one chain for each would put them all into one queue.

mod action;
mod chain;
mod check;
mod deed;
mod entry;
mod table;
mod trail;

pub use action::Action;
pub use chain::{Break, Head};
pub use check::{Expected, ShardCheck};
pub use deed::{Author, Deed, Via, detail, digest};
pub use entry::{Entry, EntryHash, HashError};
pub use trail::AuditTrail;

pub(crate) use table::append;
