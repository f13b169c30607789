//! What a binlog stream may hold that must stop us, each with its own words.

use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::Event;

/// Something in the stream that cannot be skipped without losing a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hazard {
    /// The bytes are not those that the server wrote.
    #[error(
        "an event at binlog position {log_pos} fails its CRC32: expected {expected:08x}, computed {computed:08x}"
    )]
    Checksum {
        /// The header's end position.
        log_pos: u32,
        /// What the server wrote.
        expected: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// An event that the decoder cannot read.
    #[error("cannot read a {what} event: {cause}")]
    Unreadable {
        /// The kind of event.
        what: &'static str,
        /// The decoder's words.
        cause: String,
    },
    /// An event of a kind we do not know and may not ignore.
    #[error("an event of the unknown type {0} is not marked as ignorable")]
    UnknownEvent(u8),
    /// A compressed transaction gave no events: its decompression failed.
    #[error("a compressed transaction could not be unpacked")]
    EmptyPayload,
    /// A transaction began before the last one ended.
    #[error("the transaction {0} has no end in the stream")]
    Unfinished(String),
    /// Rows or an end without a beginning.
    #[error("a {0} event stands outside of any transaction")]
    OutsideTransaction(&'static str),
    /// Written while gtid_mode was not ON.
    #[error("a transaction has no GTID: gtid_mode was not ON when it was written")]
    Anonymous,
    /// The server itself says that something is missing.
    #[error("the server reports an incident, events may be missing: {0}")]
    Incident(String),
    /// DML as text: some session does not write rows.
    #[error(
        "a statement on our schema came as text, so some session's binlog_format is not ROW: {0}"
    )]
    Statement(String),
    /// Rows come at PREPARE, the outcome later: not followed.
    #[error("an XA transaction changed orders, which nobody of ours does")]
    Xa,
    /// Rows that were let out of a very large transaction never were.
    #[error(
        "a very large transaction was undone after some of its rows had gone out: search shows what the store does not hold, mend it from the stores"
    )]
    Undone,
    /// Rows that the decoder would pass over.
    #[error("event type {0} is MariaDB's compressed form: log_bin_compress was not OFF")]
    Compressed(u8),
    /// Rows that nobody but the server can read.
    #[error(
        "the binlog is encrypted, and the server does not decrypt it for us: set encrypt_binlog OFF"
    )]
    Encrypted,
    /// Rows of a table that was never described.
    #[error("rows of table number {0} come without its description")]
    NoTableMap(u64),
    /// Without names columns cannot be told apart.
    #[error("the description of {0}.orders has no column names: binlog_row_metadata was not FULL")]
    NoColumnNames(String),
    /// Part of a row only.
    #[error("a row image of {0}.orders is not complete: binlog_row_image was not FULL")]
    PartialImage(String),
    /// Another process uses our server id.
    #[error(
        "another follower or replica uses our server id {0}: only one may run, stop the other or change follower.server_id_base"
    )]
    DuplicateServerId(u32),
    /// The server has forgotten what we have already seen.
    #[error(
        "our position is ahead of the server, which has lost transactions that search already shows: {0}"
    )]
    Ahead(String),
    /// The server's past is another than the one our position belongs to.
    #[error(
        "the server's history is not the one that our position belongs to, so search may show what the server never had: {0}"
    )]
    Diverged(String),
    /// The server names a place in its binlog that is not there.
    #[error("the server cannot read its binlog at our position: {0}")]
    BadPosition(String),
    /// The server will not stream for a reason that we do not know.
    #[error("the server refuses to stream: {0}")]
    Refused(String),
}

/// An event that the decoder cannot read, for this cause.
pub fn unreadable(what: &'static str, cause: &(impl std::fmt::Display + ?Sized)) -> Hazard {
    Hazard::Unreadable {
        what,
        cause: cause.to_string(),
    }
}

/// Checks an event's CRC32, which the decoder never does. Events inside a compressed transaction have
/// none; the event around them has.
pub fn verify_checksum(event: &Event) -> Result<(), Hazard> {
    let algorithm = event.footer().get_checksum_alg();
    let crc32 = matches!(
        algorithm,
        Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32))
    );
    if !crc32 || is_inner(event) {
        return Ok(());
    }
    let Some(bytes) = event.checksum() else {
        return Ok(());
    };
    let expected = u32::from_le_bytes(bytes);
    let computed = event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32);
    if expected == computed {
        return Ok(());
    }
    let log_pos = event.header().log_pos();
    Err(Hazard::Checksum {
        log_pos,
        expected,
        computed,
    })
}

/// Whether the event comes out of a compressed transaction.
pub fn is_inner(event: &Event) -> bool {
    !event.footer().get_checksum_enabled()
}

/// The errors of a server that will not stream: one for nearly all reasons, and MariaDB's own for a
/// position that it does not know and for a second reader with our id.
pub const REFUSALS_TO_STREAM: [u16; 4] = [1236, 1945, 1955, 4052];

/// What a refusal to stream means, by its text: the number tells hardly anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Needed binlogs are gone: a snapshot helps.
    Purged,
    /// A person has to look.
    Definite(Hazard),
}

/// Reads the text of a refusal from a server that knows us by `server_id`.
pub fn classify_refusal(text: &str, server_id: u32) -> Refusal {
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let hazard = if has(&[
        "purged required",
        "has purged",
        "binlog files have been purged",
    ]) {
        return Refusal::Purged;
    } else if has(&["same server_uuid/server_id", "same server_id"]) {
        Hazard::DuplicateServerId(server_id)
    } else if has(&["has more GTIDs"]) {
        Hazard::Ahead(text.to_owned())
    } else if has(&["not in the master's binlog", "master is missing the GTID"]) {
        Hazard::Diverged(text.to_owned())
    } else if has(&[
        "impossible position",
        "position > file size",
        "Could not find first log",
        "could not find next log",
        "Could not open log file",
    ]) {
        Hazard::BadPosition(text.to_owned())
    } else {
        Hazard::Refused(text.to_owned())
    };
    Refusal::Definite(hazard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_told_by_its_text() {
        let purged = "Cannot replicate because the source purged required binary logs. Replicate \
                      the missing transactions from elsewhere";
        assert_eq!(classify_refusal(purged, 7), Refusal::Purged);
        let older = "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but \
                     the master has purged binary logs containing GTIDs that the slave requires.";
        assert_eq!(classify_refusal(older, 7), Refusal::Purged);
        let maria = "Could not find GTID state requested by slave in any binlog files. Probably the \
                     slave state is too old and required binlog files have been purged.";
        assert_eq!(classify_refusal(maria, 7), Refusal::Purged);
        for text in [
            "Error: connecting slave requested to start from GTID 0-77-9, which is not in the \
             master's binlog",
            "The binlog on the master is missing the GTID 0-77-9 requested by the slave (even \
             though a subsequent sequence number does exist), and GTID strict mode is enabled.",
        ] {
            let expected = Refusal::Definite(Hazard::Diverged(text.into()));
            assert_eq!(classify_refusal(text, 7), expected);
        }
        for text in [
            "A replica with the same server_uuid/server_id as this replica has connected to the \
             source; the first event '' at 4",
            "A slave with the same server_uuid/server_id as this slave has connected to the master",
        ] {
            let expected = Refusal::Definite(Hazard::DuplicateServerId(7));
            assert_eq!(classify_refusal(text, 7), expected);
        }
        let ahead = "Replica has more GTIDs than the source has, using the source's SERVER_UUID.";
        let expected = Refusal::Definite(Hazard::Ahead(ahead.into()));
        assert_eq!(classify_refusal(ahead, 7), expected);
        let gone = "Could not find first log file name in binary log index file";
        let expected = Refusal::Definite(Hazard::BadPosition(gone.into()));
        assert_eq!(classify_refusal(gone, 7), expected);
        let expected = Refusal::Definite(Hazard::Refused("bad luck".into()));
        assert_eq!(classify_refusal("bad luck", 7), expected);
    }
}
