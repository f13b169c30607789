//! `make chaos`: random faults by a seed over live load, then quiet, drain, and the books.
//!
//! What it measures as recovery: when a fault ends (the killed process is started, the paused one
//! goes on, the proxy passes again), eight orders are submitted at once, enough to touch every shard.
//! The time from the fault's end until all eight have ended is its recovery: it includes the start of
//! what was killed, and whatever other faults last meanwhile.
//!
//! What it calls bounded (INV-8): once all is up again and nobody submits any more, everything that
//! was accepted has ended within [`DECIDED_WITHIN`].

mod faults;
mod meter;
mod recovery;
mod report;
mod run;
mod schedule;
mod verdict;

pub use report::{Recovery, Report};
pub use run::{Settings, run};
pub use schedule::{Deed, Planned, schedule};

use std::time::Duration;

/// An order that a dead worker logged is another's after 30 s, and a failed attempt is tried again
/// after 15 s at most; the rest is for the backlog.
pub const DECIDED_WITHIN: Duration = Duration::from_secs(90);
