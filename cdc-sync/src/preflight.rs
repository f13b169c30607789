//! Whether a server is set up so that nothing it commits can be missed: checked before each start of
//! a stream, each requirement with its own message.

use std::collections::HashMap;

/// The server variables the checks read.
pub const VARIABLES: [&str; 10] = [
    "version",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "gtid_mode",
    "binlog_checksum",
    "server_id",
    "server_uuid",
];

/// Why a server cannot be followed as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// Its binlog differs; following it comes later.
    #[error(
        "this is MariaDB ({0}), whose binlog the follower cannot read yet: search is off, everything else works"
    )]
    MariaDb(String),
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
    ensure_mysql(variables)?;
    ensure_binlog(variables)?;
    ensure_row_format(variables)?;
    ensure_full_images(variables)?;
    ensure_full_metadata(variables)?;
    ensure_whole_values(variables)?;
    ensure_gtids(variables)?;
    ensure_checksums(variables)?;
    ensure_own_server_id(variables, server_id)
}

fn ensure_mysql(variables: &Variables) -> Result<(), PreflightError> {
    let version = variables.get("version");
    if version.contains("MariaDB") {
        return Err(PreflightError::MariaDb(version.to_owned()));
    }
    Ok(())
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

/// The lines of `SHOW GRANTS` must allow reading the stream.
pub fn ensure_privileges(grants: &[String]) -> Result<(), PreflightError> {
    let global: Vec<&String> = grants
        .iter()
        .filter(|g| g.contains(" ON *.* TO "))
        .collect();
    let all = global.iter().any(|grant| grant.contains("ALL PRIVILEGES"));
    for privilege in ["REPLICATION SLAVE", "REPLICATION CLIENT"] {
        if !all && !global.iter().any(|grant| grant.contains(privilege)) {
            return Err(PreflightError::Privilege(privilege));
        }
    }
    Ok(())
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
mod tests {
    use super::*;

    fn good() -> Variables {
        let pairs = [
            ("version", "9.7.4"),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("binlog_row_value_options", ""),
            ("gtid_mode", "ON"),
            ("binlog_checksum", "CRC32"),
            ("server_id", "1"),
        ];
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Variables(pairs.collect())
    }

    fn with(name: &str, value: &str) -> Result<(), PreflightError> {
        let mut variables = good();
        variables.0.insert(name.to_owned(), value.to_owned());
        ensure_followable(&variables, 740_000)
    }

    #[test]
    fn a_server_set_up_as_documented_passes() {
        assert_eq!(ensure_followable(&good(), 740_000), Ok(()));
    }

    #[test]
    fn each_wrong_variable_has_its_own_message() {
        for (name, value) in [
            ("version", "10.11.6-MariaDB-0+deb12u1-log"),
            ("log_bin", "OFF"),
            ("binlog_format", "MIXED"),
            ("binlog_row_image", "MINIMAL"),
            ("binlog_row_metadata", "MINIMAL"),
            ("binlog_row_value_options", "PARTIAL_JSON"),
            ("gtid_mode", "ON_PERMISSIVE"),
            ("binlog_checksum", "NONE"),
            ("server_id", "740000"),
        ] {
            let message = with(name, value).unwrap_err().to_string();
            let names_it = message.contains(name) || message.contains("MariaDB");
            assert!(names_it || name == "server_id", "{name}: {message}");
        }
    }

    #[test]
    fn both_replication_privileges_are_needed() {
        let line = |what: &str| vec![format!("GRANT {what} ON *.* TO `f`@`%`")];
        assert_eq!(ensure_privileges(&line("ALL PRIVILEGES")), Ok(()));
        let both = line("SELECT, REPLICATION SLAVE, REPLICATION CLIENT");
        assert_eq!(ensure_privileges(&both), Ok(()));
        let lacking = PreflightError::Privilege("REPLICATION CLIENT");
        assert_eq!(ensure_privileges(&line("REPLICATION SLAVE")), Err(lacking));
        let database = vec!["GRANT ALL PRIVILEGES ON `orders_0`.* TO `f`@`%`".to_owned()];
        assert!(ensure_privileges(&database).is_err());
    }

    #[test]
    fn a_position_is_usable_purged_or_ahead() {
        assert_eq!(position_state(true, true), PositionState::Usable);
        assert_eq!(position_state(false, true), PositionState::Purged);
        assert_eq!(position_state(true, false), PositionState::Ahead);
        assert_eq!(position_state(false, false), PositionState::Ahead);
    }
}
