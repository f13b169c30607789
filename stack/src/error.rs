//! What can go wrong with a local server, in words that say what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::name::ServerName;

/// The result of working on a stack.
pub type Result<T> = std::result::Result<T, StackError>;

/// Why an operation on a stack or one of its servers failed.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// There is no stack in the folder yet.
    #[error("no stack in {0}: `holdfast-stack up` makes one")]
    NoStack(PathBuf),
    /// The stack exists, with another database than the one asked for.
    #[error(
        "the stack in {root} runs on {has}, not on {wanted}: take another --root, or `make clean` first"
    )]
    OtherDatabase {
        /// The stack's root folder.
        root: PathBuf,
        /// The database the stack was made with.
        has: String,
        /// The database asked for.
        wanted: String,
    },
    /// A name that is not one of ours.
    #[error("unknown server {0:?}: one of {1}")]
    UnknownServer(String, String),
    /// A program that the fetch scripts should have brought is not there.
    #[error("{what} is missing ({path}): run stack/fetch/all.sh")]
    NotFetched {
        /// What is missing.
        what: &'static str,
        /// Where it was expected.
        path: PathBuf,
    },
    /// One of our own binaries is not installed.
    #[error("{0} is missing: `make up` builds and installs it")]
    NotBuilt(PathBuf),
    /// The library that shifts a clock is not installed.
    #[error("libfaketime is missing: run stack/fetch/packages.sh testing")]
    NoShiftedClocks,
    /// Only our own services can be given a clock.
    #[error("{0} has no clock of its own")]
    NoClockOfItsOwn(ServerName),
    /// The server is not running.
    #[error("{0} is not running")]
    NotRunning(ServerName),
    /// The server ended before it was ready.
    #[error("{name} ended before it was ready; the end of {log}:\n{tail}")]
    EndedEarly {
        /// Which server.
        name: ServerName,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server runs but did not answer in time.
    #[error("{name} was not ready within {waited:?} ({last}); its log is {log}")]
    NotReady {
        /// Which server.
        name: ServerName,
        /// How long was waited.
        waited: Duration,
        /// What the last attempt said.
        last: String,
        /// Its log file.
        log: PathBuf,
    },
    /// A process is still there after SIGKILL.
    #[error("{0} (pid {1}) is still there after SIGKILL")]
    Unkillable(ServerName, i32),
    /// A server's first start, or another command of its, failed.
    #[error("{what} failed: {detail}")]
    CommandFailed {
        /// What was run.
        what: String,
        /// What it said.
        detail: String,
    },
    /// An environment file or variable that cannot be used.
    #[error("{place}: {problem}")]
    BadEnvironment {
        /// The file or variable.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No free port was found.
    #[error("no free port between {0} and {1}")]
    NoFreePort(u16, u16),
    /// A key could not be made.
    #[error("a key could not be generated")]
    KeyGeneration,
    /// The operating system refused something.
    #[error("{what}: {cause}")]
    Io {
        /// What was attempted.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
}

/// Says which file or action an I/O error belongs to.
pub(crate) trait Context<T> {
    /// Names the path the error is about.
    fn at(self, path: &Path) -> Result<T>;
    /// Names what was attempted.
    fn doing(self, what: &str) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn at(self, path: &Path) -> Result<T> {
        self.doing(&path.display().to_string())
    }

    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|cause| StackError::Io {
            what: what.to_owned(),
            cause: cause.into(),
        })
    }
}
