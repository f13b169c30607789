//! The harness of the suites in `tests/`: a pipeline on real servers, a recording client, and the
//! invariants by name; a fault proxy, and the chaos run over all of it.
//!
//! The suites need a stack of their own, because they kill its servers: `make test` makes one and
//! names its root in `HOLDFAST_TEST_STACK`. Within a process one test at a time has the pipeline.

mod attempt;
pub mod chaos;
mod client;
mod events;
mod facts;
mod history;
mod invariants;
mod load;
mod merchant;
mod network;
mod pipeline;
mod proxy;
mod recorder;

pub use attempt::{Asked, Attempt, Told};
pub use client::{Answer, Client};
pub use history::Figures;
pub use load::{Load, LoadSettings, Payers};
pub use merchant::{Merchant, order};
pub use network::Network;
pub use pipeline::{Pipeline, PipelineGuard};
pub use proxy::{Direction, Fault, FaultProxy};
pub use recorder::{Recorder, Tally};
