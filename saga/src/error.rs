//! What a failed statement means for the batch that ran it.

use sqlx::mysql::MySqlDatabaseError;

/// A failed SQL transaction, split by consequence.
#[derive(Debug, thiserror::Error)]
pub enum SqlFault {
    /// A plain INSERT met a unique key: some of the set is here already. Roll back at once, then
    /// run the set as [`Pass::Again`](crate::Pass::Again).
    #[error("duplicate: {0}")]
    Duplicate(#[source] sqlx::Error),
    /// A compare-and-set over the whole set changed only some of its rows, and nobody can say which
    /// were changed just now. Treated as a duplicate is.
    #[error("only {changed} of {asked} rows stood as a first pass expects")]
    Partial {
        /// Rows that matched.
        changed: u64,
        /// Rows asked for.
        asked: usize,
    },
    /// Running the same batch again helps: deadlock, lock time-out, lost connection (also at
    /// COMMIT: the fences know what was done), a server that is down, read-only, full or not set
    /// up. No record is to blame.
    #[error("transient: {0}")]
    Transient(#[source] sqlx::Error),
    /// Running it again will not help: the statement itself is refused for what it says.
    #[error("definite: {0}")]
    Definite(#[source] sqlx::Error),
}

impl From<sqlx::Error> for SqlFault {
    fn from(error: sqlx::Error) -> Self {
        match class_of(&error) {
            Class::Duplicate => Self::Duplicate(error),
            Class::Transient => Self::Transient(error),
            Class::Definite => Self::Definite(error),
        }
    }
}

impl SqlFault {
    /// Whether a run right away may well get past it: a deadlock, a lock time-out, a lost connection.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Partial { .. } => true,
            Self::Definite(_) => false,
            Self::Transient(error) => number(error).is_some_and(passes) || lost_connection(error),
        }
    }

    /// Whether somebody held a lock for longer than it was waited for.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Partial { .. } | Self::Definite(_) => false,
            Self::Transient(error) => number(error) == Some(1205),
        }
    }

    /// Whether the time for it was up, or none of the pool's connections came free in time: the
    /// server may be away, or have too much to do.
    pub(crate) fn is_out_of_time(&self) -> bool {
        match self {
            Self::Transient(sqlx::Error::PoolTimedOut) => true,
            Self::Transient(sqlx::Error::Io(error)) => error.kind() == std::io::ErrorKind::TimedOut,
            Self::Transient(_) | Self::Duplicate(_) | Self::Partial { .. } | Self::Definite(_) => {
                false
            }
        }
    }

    /// Whether the server itself said so, which a server that is away cannot.
    pub(crate) fn is_said_by_server(&self) -> bool {
        match self {
            Self::Duplicate(error) | Self::Transient(error) | Self::Definite(error) => {
                error.as_database_error().is_some()
            }
            Self::Partial { .. } => true,
        }
    }

    /// Whether a value is refused for what it is. Of any other refusal nobody can say that it is
    /// not the server's trouble, or its operator's.
    pub(crate) fn blames_an_item(&self) -> bool {
        match self {
            Self::Definite(sqlx::Error::Encode(_)) => true,
            Self::Definite(error) => number(error).is_some_and(is_of_a_value),
            Self::Duplicate(_) | Self::Partial { .. } | Self::Transient(_) => false,
        }
    }

    /// Whether the connection can still be used. One that broke, or whose answer was not awaited,
    /// cannot: nobody knows what it still has to say.
    pub(crate) fn leaves_connection_usable(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Partial { .. } | Self::Definite(_) => true,
            Self::Transient(error) => number(error).is_some() && !lost_connection(error),
        }
    }
}

/// A deadlock, a lock time-out, a row changed since it was read, an interrupted statement.
fn passes(number: u16) -> bool {
    matches!(number, 1205 | 1213 | 1020 | 1317)
}

/// Whether the connection broke: others to the same server may work. A server that closes an idle
/// or a killed connection may say so first.
pub(crate) fn lost_connection(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
        ),
        error => matches!(
            number(error),
            Some(1152 | 1158..=1161 | 1184 | 1927 | 3169 | 4031)
        ),
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error().and_then(number_of)
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Duplicate,
    Transient,
    Definite,
}

fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(error) => match number_of(error.as_ref()) {
            Some(number) => class_of_number(number),
            None => Class::Definite,
        },
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::InvalidArgument(_) => Class::Definite,
        // Io, Tls, Protocol, PoolTimedOut, PoolClosed, WorkerCrashed, Configuration ...: it is the
        // connection's trouble, not the statement's.
        _connection => Class::Transient,
    }
}

fn number_of(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// Error numbers of MySQL and, from 1900 to 1999 and 4000 on, of MariaDB.
fn class_of_number(number: u16) -> Class {
    match number {
        // A unique key, the second with the key's name.
        1062 | 1586 => Class::Duplicate,
        // Deadlock, lock time-out, a row changed since it was read, interrupted, out of time.
        1205 | 1213 | 1020 | 1317 | 1969 | 3024 | 3058 | 3572 => Class::Transient,
        // Too many connections, handshake, shutdown, lost or aborted connections, killed by another.
        1040
        | 1042
        | 1043
        | 1053
        | 1077
        | 1078
        | 1079
        | 1080
        | 1152
        | 1158..=1161
        | 1184
        | 1203
        | 1226
        | 1927
        | 2002
        | 2003
        | 2006
        | 2013
        | 2055
        | 3169
        | 4031 => Class::Transient,
        // Disk or table space full, out of memory, too many open files, file trouble.
        1016 | 1021 | 1023 | 1026 | 1030 | 1034 | 1037 | 1038 | 1041 | 1114 | 1135 | 1257
        | 3019 => Class::Transient,
        // Read-only server or transaction, offline, a binlog that cannot be written.
        1209 | 1223 | 1290 | 1598 | 1792 | 1836 | 1880 | 1881 | 3032 | 3100 | 3101 => {
            Class::Transient
        }
        // Not set up, or not for us: an operator's hand helps, and no record is to blame.
        1044 | 1045 | 1046 | 1049 | 1054 | 1109 | 1129 | 1130 | 1142 | 1143 | 1146 | 1227
        | 1305 | 1370 | 1412 | 1615 | 1698 | 1820 | 1862 | 3118 | 3159 => Class::Transient,
        // Too much of something at once, a COMMIT that failed, a table that is read-only.
        1036 | 1180 | 1206 | 1461 | 1637 | 3168 => Class::Transient,
        _refused => Class::Definite,
    }
}

/// Null, out of range, truncated, too long, not of its type, no JSON, against a CHECK, too large for
/// a packet.
fn is_of_a_value(number: u16) -> bool {
    matches!(
        number,
        1048 | 1153 | 1264 | 1265 | 1292 | 1365 | 1366 | 1367 | 1406 | 1411 | 1441 | 1690 | 3140
            ..=3158 | 3819 | 4025
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadlock_and_a_read_only_server_are_transient() {
        for number in [
            1205, 1213, 1040, 1053, 1290, 1836, 1021, 1114, 2006, 2013, 3024, 1317, 1461, 1180,
        ] {
            assert_eq!(class_of_number(number), Class::Transient, "{number}");
        }
    }

    #[test]
    fn what_the_statement_says_is_definite() {
        for number in [1264, 1366, 1406, 1048, 3819, 4025, 1690, 1153, 1064] {
            assert_eq!(class_of_number(number), Class::Definite, "{number}");
        }
    }

    #[test]
    fn values_are_to_blame_for_what_they_are_and_for_nothing_else() {
        for number in [1264, 1366, 1406, 1048, 3819, 4025, 1690, 3140] {
            assert!(is_of_a_value(number), "{number}");
        }
        for number in [1064, 1105, 1180, 1461, 1055, 1364, 3159] {
            assert!(!is_of_a_value(number), "{number}");
        }
    }

    #[test]
    fn a_unique_key_is_a_duplicate() {
        assert_eq!(class_of_number(1062), Class::Duplicate);
    }

    #[test]
    fn a_lost_connection_is_transient_and_may_pass() {
        let fault = io(std::io::ErrorKind::UnexpectedEof);
        assert!(matches!(fault, SqlFault::Transient(_)));
        assert!(fault.is_passing());
    }

    #[test]
    fn a_refused_connection_does_not_pass_by_itself() {
        let fault = io(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(fault, SqlFault::Transient(_)));
        assert!(!fault.is_passing());
    }

    fn io(kind: std::io::ErrorKind) -> SqlFault {
        SqlFault::from(sqlx::Error::Io(kind.into()))
    }

    #[test]
    fn only_who_got_no_answer_or_no_connection_in_time_is_out_of_time() {
        assert!(io(std::io::ErrorKind::TimedOut).is_out_of_time());
        assert!(SqlFault::from(sqlx::Error::PoolTimedOut).is_out_of_time());
        assert!(!io(std::io::ErrorKind::ConnectionRefused).is_out_of_time());
        assert!(!SqlFault::from(sqlx::Error::RowNotFound).is_out_of_time());
    }

    #[test]
    fn a_connection_that_broke_or_gave_no_answer_is_used_no_more() {
        assert!(!io(std::io::ErrorKind::UnexpectedEof).leaves_connection_usable());
        assert!(!io(std::io::ErrorKind::TimedOut).leaves_connection_usable());
        assert!(SqlFault::from(sqlx::Error::RowNotFound).leaves_connection_usable());
    }
}
