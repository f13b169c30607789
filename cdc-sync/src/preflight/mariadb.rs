//! What only MariaDB is asked before it is followed.

use super::{PositionState, PreflightError, Variables};
use crate::maria_gtid::{MariaGtid, MariaPosition};

/// The oldest version that is tested.
const OLDEST: (u32, u32) = (10, 11);

/// The checks of the variables that MySQL does not have.
pub(super) fn ensure_followable(variables: &Variables) -> Result<(), PreflightError> {
    ensure_version(variables)?;
    let is = |name, wanted| variables.is(name, &[wanted]);
    is("gtid_strict_mode", "ON").map_err(PreflightError::GtidStrictMode)?;
    is("log_bin_compress", "OFF").map_err(PreflightError::Compression)?;
    is("encrypt_binlog", "OFF").map_err(PreflightError::Encryption)?;
    ensure_replica_updates(variables)
}

fn ensure_version(variables: &Variables) -> Result<(), PreflightError> {
    let version = variables.get("version");
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    if next().zip(next()) < Some(OLDEST) {
        return Err(PreflightError::OldMariaDb(version.to_owned()));
    }
    Ok(())
}

fn ensure_replica_updates(variables: &Variables) -> Result<(), PreflightError> {
    if variables.get("gtid_slave_pos").is_empty() {
        return Ok(());
    }
    let is_on = variables.is("log_slave_updates", &["ON"]);
    is_on.map_err(PreflightError::ReplicaUpdates)
}

/// What a server's binlogs hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MariaBinlogs {
    /// The last id of each domain and server that was ever written.
    pub written: Vec<MariaGtid>,
    /// Where the oldest file begins: what is before it is gone.
    pub begin: MariaPosition,
    /// What the server got when it was a replica, which need not be in its binlogs.
    pub replicated: MariaPosition,
}

/// What a saved position is worth by what the binlogs hold: the server's own rules, told beforehand.
pub fn maria_position_state(saved: &MariaPosition, binlogs: &MariaBinlogs) -> PositionState {
    let mut is_all_there = saved.contains(&binlogs.begin);
    for id in saved.ids() {
        if binlogs.written.iter().any(|last| is_or_precedes(&id, last)) {
            continue;
        }
        let replicated = binlogs
            .replicated
            .ids()
            .find(|last| last.domain == id.domain);
        match replicated {
            // Its binlog goes on from here.
            Some(last) if last == id => {}
            Some(last) if last.number > id.number => is_all_there = false,
            Some(_) | None => return PositionState::Ahead,
        }
    }
    if is_all_there {
        PositionState::Usable
    } else {
        PositionState::Purged
    }
}

/// Whether the last transaction of a server in a domain comes with or after this one.
fn is_or_precedes(id: &MariaGtid, last: &MariaGtid) -> bool {
    last.domain == id.domain && last.server == id.server && last.number >= id.number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maria_gtid::read_list;
    use crate::preflight;

    fn good() -> Variables {
        let pairs = [
            ("version", "10.11.19-MariaDB-0+deb12u1-log"),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("gtid_strict_mode", "ON"),
            ("gtid_slave_pos", ""),
            ("log_bin_compress", "OFF"),
            ("log_slave_updates", "OFF"),
            ("encrypt_binlog", "OFF"),
            ("binlog_checksum", "CRC32"),
            ("server_id", "1"),
        ];
        let pairs = pairs.map(|(k, v)| (k.to_owned(), v.to_owned()));
        Variables(pairs.into_iter().collect())
    }

    fn with(changes: &[(&str, &str)]) -> Result<(), PreflightError> {
        let mut variables = good();
        for (name, value) in changes {
            variables.0.insert((*name).to_owned(), (*value).to_owned());
        }
        preflight::ensure_followable(&variables, 740_000)
    }

    #[test]
    fn a_server_set_up_as_documented_passes() {
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&[("version", "11.8.3-MariaDB-ubu2404")]), Ok(()));
        let replica = [("gtid_slave_pos", "0-1-7"), ("log_slave_updates", "ON")];
        assert_eq!(with(&replica), Ok(()));
    }

    #[test]
    fn each_wrong_variable_has_its_own_message() {
        for (name, value) in [
            ("version", "10.6.20-MariaDB"),
            ("log_bin", "OFF"),
            ("binlog_format", "MIXED"),
            ("binlog_row_image", "FULL_NODUP"),
            ("binlog_row_metadata", "NO_LOG"),
            ("binlog_checksum", "NONE"),
            ("gtid_strict_mode", "OFF"),
            ("log_bin_compress", "ON"),
            ("encrypt_binlog", "ON"),
        ] {
            let message = with(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name), "{name}: {message}");
        }
        let message = with(&[("gtid_slave_pos", "0-1-7")])
            .unwrap_err()
            .to_string();
        assert!(message.contains("log_slave_updates"), "{message}");
    }

    #[test]
    fn a_position_is_usable_purged_or_ahead_as_the_server_would_say() {
        use PositionState::{Ahead, Purged, Usable};
        for (saved, written, begin, replicated, expected) in [
            ("0-77-6", "0-77-9", "", "", Usable),
            ("0-77-6", "0-77-6", "0-77-6", "", Usable),
            ("0-77-6", "0-77-9", "0-77-7", "", Purged),
            ("0-77-6", "0-77-5", "", "", Ahead),
            ("0-77-6", "", "", "", Ahead),
            // Two domains: each for itself.
            (
                "0-77-6,1-77-3",
                "0-77-9,1-77-3",
                "0-77-2,1-77-3",
                "",
                Usable,
            ),
            (
                "0-77-6,1-77-3",
                "0-77-9,1-77-4",
                "0-77-2,1-77-4",
                "",
                Purged,
            ),
            ("0-77-6", "0-77-9,1-77-4", "0-77-2,1-77-1", "", Purged),
            ("0-77-6,1-77-3", "0-77-9", "", "", Ahead),
            // Another server took over and wrote on; it knows the one before, or never had its last.
            ("0-77-6", "0-77-6,0-78-9", "0-77-2", "", Usable),
            ("0-77-6", "0-77-5,0-78-9", "0-77-2", "", Ahead),
            // One that was made from a backup begins its binlog where the backup ended.
            ("0-77-6", "0-78-9", "", "0-77-6", Usable),
            ("0-77-5", "0-78-9", "", "0-77-6", Purged),
            ("0-77-7", "0-78-9", "", "0-77-6", Ahead),
        ] {
            let binlogs = MariaBinlogs {
                written: read_list(written).unwrap(),
                begin: begin.parse().unwrap(),
                replicated: replicated.parse().unwrap(),
            };
            let state = maria_position_state(&saved.parse().unwrap(), &binlogs);
            assert_eq!(state, expected, "{saved} by {binlogs:?}");
        }
    }
}
