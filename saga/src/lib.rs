//! Try-confirm-cancel in sets over sharded MySQL.
//!
//! A global transaction has branches on several shards. Each phase runs for a whole batch of
//! global transactions, one SQL transaction per shard, the shards in parallel. The engine knows
//! SQL, batches and states; what a branch means is its participant's business.
//!
//! Start with [`next`], the protocol; then [`Coordinator`], which acts on it; then
//! [`Participant`] and [`TransactionLog`], which an application implements.

mod answer;
mod attempt;
mod batch;
mod breaker;
#[cfg(feature = "conformance")]
pub mod conformance;
mod coordinator;
mod error;
pub mod faults;
pub mod fence;
mod fence_table;
mod fences;
mod flight;
mod fold;
mod global_tx;
mod log;
mod log_table;
mod meter;
#[cfg(test)]
mod model;
mod operations;
mod participant;
pub mod recovery;
mod rounds;
mod set;
mod settings;
mod shards;
mod state;
mod sweeper;

pub use answer::Answer;
pub use coordinator::Coordinator;
pub use error::SqlFault;
pub use fence_table::{Action, Fenced};
pub use fences::FENCE_TABLE_SQL;
pub use global_tx::GLOBAL_TX_SQL;
pub use log::{Begun, Claimed, Decision, Ending, Postponement, TransactionLog};
pub use log_table::{LogTable, LogTableSettings, LoggedRecord};
pub use participant::{Branch, FinishOutcome, Participant, Pass, TryOutcome};
pub use settings::{CoordinatorSettings, SweeperSettings};
pub use shards::{Shard, ShardId, Shards};
pub use state::{Event, Next, Outcome, Reason, State, Verdict, Xid, next};
pub use sweeper::{SweepReport, Sweeper};
