//! The harness of the suites in `tests/`: a pipeline on real servers, a recording client, and the
//! invariants by name.
//!
//! The suites need a stack of their own, because they kill its servers: `make test` makes one and
//! names its root in `HOLDFAST_TEST_STACK`. Within a process one test at a time has the pipeline.

mod client;
mod history;
mod invariants;
mod load;
mod merchant;
mod pipeline;

pub use client::{Answer, Client};
pub use history::{Figures, History, Submission};
pub use load::{Load, LoadSettings};
pub use merchant::{Merchant, order};
pub use pipeline::{Pipeline, PipelineGuard};
