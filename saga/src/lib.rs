//! Try-confirm-cancel in sets over sharded MySQL.
//!
//! A global transaction has branches on several shards. Each phase runs for a whole batch of
//! global transactions, one SQL transaction per shard, the shards in parallel. The engine knows
//! SQL, batches and states; what a branch means is its participant's business.

mod error;
pub mod fence;
mod log;
mod participant;
pub mod recovery;
mod shards;
mod state;

pub use error::SqlFault;
pub use log::{Begun, Claimed, Decision, Ending, Postponement, TransactionLog};
pub use participant::{Branch, FinishOutcome, Participant, Pass, TryOutcome};
pub use shards::{Shard, ShardId, Shards};
pub use state::{Event, Next, Outcome, Reason, State, Verdict, Xid, next};
