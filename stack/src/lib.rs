//! The local servers of the pipeline: two database servers, Kafka, Redis and Elasticsearch, and our
//! own services on top of them, each a real process on loopback that can be started, stopped,
//! killed, paused and awaited by handle.
//!
//! A [`Stack`] lives in a root folder (`.local/` of the clone, or any other folder, so that several
//! stacks run side by side). Everything it knows is there: `stack.env` with the addresses, `run/`
//! with the pids, `log/`, `data/`, `secrets/` and `bin/`. Handles keep no state of their own, so
//! commands and test processes can share a stack.
//!
//! What is fetched, and how, is the business of the scripts in `stack/fetch/`.

mod clock;
mod downloads;
mod env;
mod error;
mod launch;
mod layout;
mod lock;
mod name;
mod pid_file;
mod ports;
mod process;
mod ready;
mod secrets;
mod server;
mod stack;
mod status;

pub use env::{Database, StackEnv};
pub use error::{Result, StackError};
pub use layout::Layout;
pub use name::ServerName;
pub use server::{Server, StopOutcome};
pub use stack::{Progress, Stack, StackOptions, Tell};
pub use status::{ServerState, ServerStatus};
