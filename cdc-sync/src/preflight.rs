//! Whether a server is set up so that nothing it commits can be missed: checked before each start of
//! a stream, each requirement with its own message.

mod mariadb;

pub use mariadb::{MariaBinlogs, maria_position_state};

use crate::flavour::Flavour;
use std::collections::HashMap;

/// The server variables the checks read.
pub const VARIABLES: [&str; 14] = [
    "version",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "gtid_mode",
    "binlog_checksum",
    "server_id",
    // MariaDB alone has these.
    "gtid_strict_mode",
    "gtid_slave_pos",
    "log_bin_compress",
    "log_slave_updates",
    "encrypt_binlog",
];

/// Why a server cannot be followed as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// Nobody has tried it.
    #[error("this is MariaDB {0}: its version must be 10.11 or later")]
    OldMariaDb(String),
    /// Numbers that may go back.
    #[error("gtid_strict_mode is {0}, it must be ON: positions count on numbers that only grow")]
    GtidStrictMode(String),
    /// Rows that the decoder passes over without a word.
    #[error("log_bin_compress is {0}, it must be OFF: compressed rows cannot be read")]
    Compression(String),
    /// Rows that only the server can read.
    #[error("encrypt_binlog is {0}, it must be OFF")]
    Encryption(String),
    /// What it got from another server is not in its binlog.
    #[error(
        "log_slave_updates is {0} on a server that is or was a replica, it must be ON: its binlog lacks what it replicated"
    )]
    ReplicaUpdates(String),
    /// There is nothing to follow.
    #[error("log_bin is OFF: start the server with --log-bin")]
    NoBinlog,
    /// Statements instead of rows.
    #[error("binlog_format is {0}, it must be ROW")]
    Format(String),
    /// Parts of rows.
    #[error("binlog_row_image is {0}, it must be FULL")]
    RowImage(String),
    /// No column names, no signedness.
    #[error("binlog_row_metadata is {0}, it must be FULL")]
    RowMetadata(String),
    /// Differences instead of values.
    #[error("binlog_row_value_options is {0}, it must be empty")]
    RowValueOptions(String),
    /// Transactions without ids.
    #[error("gtid_mode is {0}, it must be ON")]
    GtidMode(String),
    /// Nothing to tell damage by.
    #[error("binlog_checksum is {0}, it must be CRC32")]
    Checksum(String),
    /// We would throw the server's own replica out.
    #[error("follower.server_id_base gives us the server id {0}, which is the server's own")]
    ServerId(u32),
    /// We may not read the stream.
    #[error("the user lacks the privilege {0}: GRANT {0} ON *.* TO it")]
    Privilege(&'static str),
    /// Another database than configured.
    #[error("the database of {expected} calls itself {found}")]
    Identity {
        /// What the settings say.
        expected: String,
        /// What the database says.
        found: String,
    },
    /// Two addresses, one server: their positions would be one document with two writers.
    #[error(
        "{0} and {1} are one server under two addresses: use one address for both, or start the follower while both can be reached"
    )]
    TwoAddresses(String, String),
    /// The server was set back.
    #[error(
        "our position {position} is ahead of the server, which has lost transactions that search already shows: restore the server, or delete the position's document to take a snapshot"
    )]
    Ahead {
        /// The saved position.
        position: String,
    },
}

/// A server's variables by name.
#[derive(Debug, Clone, Default)]
pub struct Variables(pub HashMap<String, String>);

impl Variables {
    /// A variable's value; empty where the server does not have it.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Which database this is.
    pub fn flavour(&self) -> Flavour {
        Flavour::of_version(self.get("version"))
    }

    fn is(&self, name: &str, expected: &[&str]) -> Result<(), String> {
        let value = self.get(name);
        if expected.iter().any(|e| e.eq_ignore_ascii_case(value)) {
            return Ok(());
        }
        Err(if value.is_empty() {
            "not set".into()
        } else {
            value.to_owned()
        })
    }
}

/// All checks of the variables.
pub fn ensure_followable(variables: &Variables, server_id: u32) -> Result<(), PreflightError> {
    ensure_binlog(variables)?;
    ensure_row_format(variables)?;
    ensure_full_images(variables)?;
    ensure_full_metadata(variables)?;
    ensure_checksums(variables)?;
    ensure_own_server_id(variables, server_id)?;
    match variables.flavour() {
        Flavour::MySql => {
            ensure_whole_values(variables)?;
            ensure_gtids(variables)
        }
        Flavour::MariaDb => mariadb::ensure_followable(variables),
    }
}

fn ensure_binlog(variables: &Variables) -> Result<(), PreflightError> {
    let is_on = variables.is("log_bin", &["ON", "1"]);
    is_on.map_err(|_| PreflightError::NoBinlog)
}

/// Servers that no longer have the variable know no other format.
fn ensure_row_format(variables: &Variables) -> Result<(), PreflightError> {
    variables
        .is("binlog_format", &["ROW", ""])
        .map_err(PreflightError::Format)
}

fn ensure_full_images(variables: &Variables) -> Result<(), PreflightError> {
    variables
        .is("binlog_row_image", &["FULL"])
        .map_err(PreflightError::RowImage)
}

fn ensure_full_metadata(variables: &Variables) -> Result<(), PreflightError> {
    variables
        .is("binlog_row_metadata", &["FULL"])
        .map_err(PreflightError::RowMetadata)
}

fn ensure_whole_values(variables: &Variables) -> Result<(), PreflightError> {
    variables
        .is("binlog_row_value_options", &[""])
        .map_err(PreflightError::RowValueOptions)
}

fn ensure_gtids(variables: &Variables) -> Result<(), PreflightError> {
    variables
        .is("gtid_mode", &["ON"])
        .map_err(PreflightError::GtidMode)
}

fn ensure_checksums(variables: &Variables) -> Result<(), PreflightError> {
    variables
        .is("binlog_checksum", &["CRC32"])
        .map_err(PreflightError::Checksum)
}

fn ensure_own_server_id(variables: &Variables, server_id: u32) -> Result<(), PreflightError> {
    if variables.get("server_id") == server_id.to_string() {
        return Err(PreflightError::ServerId(server_id));
    }
    Ok(())
}

/// The lines of `SHOW GRANTS` must allow reading the stream. MariaDB calls one of the privileges
/// otherwise.
pub fn ensure_privileges(grants: &[String], flavour: Flavour) -> Result<(), PreflightError> {
    let global: Vec<&str> = grants.iter().flat_map(|line| global_grants(line)).collect();
    let asks_where_it_stands = match flavour {
        Flavour::MySql => "REPLICATION CLIENT",
        Flavour::MariaDb => "BINLOG MONITOR",
    };
    for privilege in ["REPLICATION SLAVE", asks_where_it_stands] {
        let is_granted = |granted: &&str| [privilege, "ALL PRIVILEGES"].contains(granted);
        if !global.iter().any(is_granted) {
            return Err(PreflightError::Privilege(privilege));
        }
    }
    Ok(())
}

/// The privileges that a line grants everywhere.
fn global_grants(line: &str) -> impl Iterator<Item = &str> {
    let granted = line
        .strip_prefix("GRANT ")
        .and_then(|line| line.split_once(" ON *.* TO "));
    granted
        .into_iter()
        .flat_map(|(privileges, _)| privileges.split(", "))
}

/// What a saved position is worth on the server as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionState {
    /// Everything after it is still in the binlog.
    Usable,
    /// Something after it is gone.
    Purged,
    /// It holds transactions that the server never executed.
    Ahead,
    /// It is of the other database, MySQL or MariaDB.
    Foreign,
}

/// The state by the server's own judgement of the two inclusions.
pub fn position_state(purged_is_in_saved: bool, saved_is_in_executed: bool) -> PositionState {
    match (saved_is_in_executed, purged_is_in_saved) {
        (false, _) => PositionState::Ahead,
        (true, false) => PositionState::Purged,
        (true, true) => PositionState::Usable,
    }
}

#[cfg(test)]
mod tests;
