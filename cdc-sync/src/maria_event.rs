//! The events that MariaDB alone writes, which the decoder does not know: pure.

use crate::hazard::{Hazard, unreadable};
use crate::maria_gtid::MariaGtid;
use mysql_async::binlog::events::Event;

/// What one of MariaDB's own events is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MariaEvent {
    /// A transaction begins, or is this and the next event.
    Gtid,
    /// Nothing to do for whoever reads rows.
    Aside,
    /// What follows is encrypted.
    StartEncryption,
    /// Rows or a statement, compressed.
    Compressed,
}

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariaBeginning {
    /// Its id.
    pub gtid: MariaGtid,
    /// It is one statement, without an end of its own.
    pub is_standalone: bool,
    /// Its rows stand or fall by another transaction.
    pub is_xa: bool,
}

/// The event of this number; none where it is not one of MariaDB's that we know.
pub fn maria_event(kind: u8) -> Option<MariaEvent> {
    match kind {
        // The statement that made the rows; how far the engines are; the ids before this file.
        160 | 161 | 163 => Some(MariaEvent::Aside),
        162 => Some(MariaEvent::Gtid),
        164 => Some(MariaEvent::StartEncryption),
        165..=171 => Some(MariaEvent::Compressed),
        _ => None,
    }
}

/// Reads a GTID event: number, domain and flags; the server is the one that the header names.
pub fn read_gtid(event: &Event) -> Result<MariaBeginning, Hazard> {
    const STANDALONE: u8 = 0x01;
    const PREPARED_XA: u8 = 0x40;
    let too_short = || unreadable("GTID", "it is too short");
    let (number, rest) = event.data().split_first_chunk().ok_or_else(too_short)?;
    let (domain, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
    let flags = *rest.first().ok_or_else(too_short)?;
    Ok(MariaBeginning {
        gtid: MariaGtid {
            domain: u32::from_le_bytes(*domain),
            server: event.header().server_id(),
            number: u64::from_le_bytes(*number),
        },
        is_standalone: flags & STANDALONE != 0,
        is_xa: flags & PREPARED_XA != 0,
    })
}
