//! What every participant, every log, and a coordinator on any two of them must pass. An
//! application's tests implement a harness and call `run_all`; each check is also a function of its
//! own. Against a real server only: half of what is checked is the server's doing.

pub mod engine;
pub mod log;
pub mod participant;

mod bench;
mod engine_checks;
mod log_checks;
mod log_kit;
mod participant_checks;

/// A check that did not pass: its name and what was seen.
#[derive(Debug, thiserror::Error)]
#[error("{check}: {seen}")]
pub struct Broken {
    /// The check.
    pub check: &'static str,
    /// What was seen.
    pub seen: String,
}

/// What a check says of what it saw.
pub type Checked = Result<(), String>;

/// What a branch has done to its store so far, counted: nothing is (0, 0).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// How often its reservation stands.
    pub reserved: u32,
    /// How often it was made final.
    pub settled: u32,
}

impl Effect {
    /// Neither reserved nor settled.
    pub const NONE: Self = Self {
        reserved: 0,
        settled: 0,
    };
    /// Reserved once.
    pub const RESERVED: Self = Self {
        reserved: 1,
        settled: 0,
    };
    /// Settled once.
    pub const SETTLED: Self = Self {
        reserved: 0,
        settled: 1,
    };
}

/// Compares what was seen with what should be.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, seen: T, wanted: T) -> Checked {
    if seen == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {seen:?}, not {wanted:?}"))
    }
}

/// Names the check that failed.
fn named(check: &'static str, checked: Checked) -> Result<(), Broken> {
    checked.map_err(|seen| Broken { check, seen })
}
