//! Why following stopped, split by consequence.

use crate::hazard::Hazard;
use crate::preflight::PreflightError;
use crate::rows::RowError;

/// Why following one server stopped.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Trying again helps.
    #[error("{0}")]
    Transient(#[from] Transient),
    /// Trying again does not help: somebody has to look.
    #[error("{0}")]
    Definite(#[from] Definite),
}

/// The world is away; our place in the stream is kept.
#[derive(Debug, thiserror::Error)]
pub enum Transient {
    /// No connection.
    #[error("cannot reach {address}: {cause}")]
    Connect {
        /// Host and port.
        address: String,
        /// The driver's words.
        cause: String,
    },
    /// A query failed, or the stream broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The server closed the stream, as an orderly shutdown does.
    #[error("the server ended the stream, as it does when it shuts down")]
    Ended,
    /// Not even a heartbeat.
    #[error("the server was silent for {ms} ms, three heartbeats")]
    Silent {
        /// How long.
        ms: u128,
    },
    /// A stream has not come to what is committed.
    #[error("the stream of {label} has not come so far yet")]
    Behind {
        /// Which.
        label: String,
    },
    /// A question was not answered in time.
    #[error("the server did not answer within {ms} ms")]
    NoAnswer {
        /// How long.
        ms: u128,
    },
    /// The server's binlog begins after our position; the next attempt takes a snapshot.
    #[error("the binlog at our position is purged: {0}")]
    Purged(String),
    /// Elasticsearch cannot be asked.
    #[error("Elasticsearch: {0}")]
    Search(String),
}

/// What only a person can mend.
#[derive(Debug, thiserror::Error)]
pub enum Definite {
    /// The server is not set up to be followed.
    #[error("{0}")]
    Preflight(#[from] PreflightError),
    /// The stream holds something that must not be skipped.
    #[error("{0}")]
    Hazard(#[from] Hazard),
    /// The schema is not the one we know.
    #[error("cannot read a row of {shard}: {cause}")]
    Row {
        /// Which shard.
        shard: String,
        /// What is wrong.
        cause: RowError,
    },
    /// The server refuses us for a reason that stays.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// Elasticsearch refuses for a reason that stays.
    #[error("Elasticsearch refuses: {0}")]
    Search(String),
    /// A defect of our own.
    #[error("the follower of this server failed: {0}")]
    Panicked(String),
}

impl From<Hazard> for FollowError {
    fn from(hazard: Hazard) -> Self {
        Definite::from(hazard).into()
    }
}

impl From<PreflightError> for FollowError {
    fn from(error: PreflightError) -> Self {
        Definite::from(error).into()
    }
}

/// Access denied, and privileges that lack: they stay until somebody grants them.
const REFUSALS: [u16; 7] = [1044, 1045, 1142, 1143, 1227, 1370, 1698];

impl From<mysql_async::Error> for FollowError {
    fn from(error: mysql_async::Error) -> Self {
        match &error {
            mysql_async::Error::Server(server) if REFUSALS.contains(&server.code) => {
                Definite::Refused(server.to_string()).into()
            }
            mysql_async::Error::Io(mysql_async::IoError::Io(io))
                if io.kind() == std::io::ErrorKind::UnexpectedEof =>
            {
                Transient::Broken("the server closed it in mid-word".to_owned()).into()
            }
            mysql_async::Error::Server(_)
            | mysql_async::Error::Driver(_)
            | mysql_async::Error::Io(_)
            | mysql_async::Error::Other(_)
            | mysql_async::Error::Url(_) => Transient::Broken(error.to_string()).into(),
        }
    }
}
