//! Each requirement and its message; what only MariaDB is asked is tested beside it.

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
        let names_it = message.contains(name) || name == "server_id";
        assert!(names_it, "{name}: {message}");
    }
}

#[test]
fn both_replication_privileges_are_needed() {
    let line = |what: &str| vec![format!("GRANT {what} ON *.* TO `f`@`%`")];
    for (flavour, asks) in [
        (Flavour::MySql, "REPLICATION CLIENT"),
        (Flavour::MariaDb, "BINLOG MONITOR"),
    ] {
        let ensure = |grants: &[String]| ensure_privileges(grants, flavour);
        assert_eq!(ensure(&line("ALL PRIVILEGES")), Ok(()));
        let both = line(&format!("SELECT, REPLICATION SLAVE, {asks}"));
        assert_eq!(ensure(&both), Ok(()));
        let lacking = PreflightError::Privilege(asks);
        assert_eq!(ensure(&line("REPLICATION SLAVE")), Err(lacking));
        // Another privilege, whose name begins alike.
        let lacking = PreflightError::Privilege("REPLICATION SLAVE");
        let other = line(&format!("REPLICATION SLAVE ADMIN, {asks}"));
        assert_eq!(ensure(&other), Err(lacking));
        let database = vec!["GRANT ALL PRIVILEGES ON `orders_0`.* TO `f`@`%`".to_owned()];
        assert!(ensure(&database).is_err());
    }
}

#[test]
fn a_position_is_usable_purged_or_ahead() {
    assert_eq!(position_state(true, true), PositionState::Usable);
    assert_eq!(position_state(false, true), PositionState::Purged);
    assert_eq!(position_state(true, false), PositionState::Ahead);
    assert_eq!(position_state(false, false), PositionState::Ahead);
}
