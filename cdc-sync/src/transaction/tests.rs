//! The grammar, event by event; the rows themselves are read from real servers in the tests of the
//! follower.

use super::*;
use crate::maria_gtid::MariaGtid;
use domain::{ShardName, StoreKind};
use mysql_async::binlog::events::{BinlogEventFooter, FormatDescriptionEvent};
use mysql_async::binlog::{BinlogChecksumAlg, BinlogVersion};

const SERVER: u32 = 77;
const QUERY: u8 = 2;
const STOP: u8 = 3;
const ROTATE: u8 = 4;
const FORMAT: u8 = 15;
const XID: u8 = 16;
const HEARTBEAT: u8 = 27;
const XA_PREPARE: u8 = 38;
const GTID: u8 = 162;
const STANDALONE: u8 = 1;
const TRANSACTIONAL: u8 = 4;
const PREPARED_XA: u8 = 0x40;

fn bytes_of(kind: u8, flags: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = 7_u32.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(SERVER.to_le_bytes());
    bytes.extend(u32::try_from(19 + data.len()).unwrap().to_le_bytes());
    bytes.extend(1_000_u32.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(data);
    bytes
}

fn event(kind: u8, data: &[u8]) -> Event {
    let format = FormatDescriptionEvent::new(BinlogVersion::Version4);
    Event::read(&format, bytes_of(kind, 0, data).as_slice()).unwrap()
}

fn gtid(domain: u32, number: u64, flags: u8) -> Event {
    let mut data = number.to_le_bytes().to_vec();
    data.extend(domain.to_le_bytes());
    data.push(flags);
    data.extend([0; 6]);
    event(GTID, &data)
}

fn query(text: &str) -> Event {
    let mut data = vec![0; 13];
    data[8] = 6;
    data.extend(b"shop_0\0");
    data.extend(text.as_bytes());
    event(QUERY, &data)
}

/// The first event of a file: of a server that just started, or of one that goes on in another file.
fn format(version: &str, is_first_after_start: bool) -> Event {
    let mut data = 4_u16.to_le_bytes().to_vec();
    let mut name = version.as_bytes().to_vec();
    name.resize(50, 0);
    data.extend(name);
    data.extend(u32::from(is_first_after_start).to_le_bytes());
    data.push(19);
    // The lengths of headers, the checksum's kind, and a checksum, of which none is told of here.
    data.extend([0; 40]);
    data.extend([0; 5]);
    event(FORMAT, &data)
}

const MARIADB: &str = "10.11.19-MariaDB-log";

fn assembler() -> Assembler {
    let index = 0;
    let store = StoreKind::Orders;
    Assembler::new(vec![Shard {
        name: ShardName { store, index },
        schema: "shop_0".to_owned(),
    }])
}

fn id(domain: u32, number: u64) -> TransactionId {
    let server = SERVER;
    TransactionId::MariaDb(MariaGtid {
        domain,
        server,
        number,
    })
}

/// What the last of these events means; those before it mean nothing.
fn last(events: &[Event]) -> Result<Step, Hazard> {
    let mut assembler = assembler();
    let (last, before) = events.split_last().unwrap();
    for event in before {
        let step = assembler.accept(event)?;
        assert_eq!(step, Step::Nothing);
    }
    assembler.accept(last)
}

#[test]
fn a_transaction_of_mariadb_begins_with_its_id_and_ends_as_any() {
    for (end, expected) in [
        (event(XID, &[0; 8]), Step::Completed(id(3, 9))),
        (query("COMMIT"), Step::Completed(id(3, 9))),
        (query("ROLLBACK"), Step::Undone(id(3, 9))),
        (query("SAVEPOINT `p`"), Step::Savepoint("`p`".into())),
        (query("ROLLBACK TO `p`"), Step::UndoneTo("`p`".into())),
        (query("CREATE TABLE t (n INT)"), Step::Nothing),
    ] {
        assert_eq!(last(&[gtid(3, 9, TRANSACTIONAL), end]), Ok(expected));
    }
}

#[test]
fn a_lone_statement_of_mariadb_is_a_transaction() {
    let statement = query("ALTER TABLE orders ADD COLUMN x INT");
    let step = last(&[gtid(0, 5, STANDALONE), statement]);
    assert_eq!(step, Ok(Step::Completed(id(0, 5))));
}

#[test]
fn a_prepared_xa_transaction_of_mariadb_is_one_and_its_outcome_another() {
    let prepared = [
        gtid(0, 5, PREPARED_XA),
        query("XA END X'31',X'',1"),
        event(XA_PREPARE, &[]),
    ];
    assert_eq!(last(&prepared), Ok(Step::Completed(id(0, 5))));
    for outcome in ["XA COMMIT X'31',X'',1", "XA ROLLBACK X'31',X'',1"] {
        for flags in [STANDALONE, 0x80] {
            let step = last(&[gtid(0, 6, flags), query(outcome)]);
            assert_eq!(step, Ok(Step::Completed(id(0, 6))));
        }
    }
}

#[test]
fn each_of_mariadbs_own_events_is_passed_over_or_refused() {
    for kind in [160, 161, 163, STOP, HEARTBEAT] {
        assert_eq!(last(&[event(kind, &[0; 8])]), Ok(Step::Nothing), "{kind}");
    }
    assert_eq!(last(&[event(164, &[0; 17])]), Err(Hazard::Encrypted));
    for kind in 165..=171 {
        assert_eq!(last(&[event(kind, &[0; 8])]), Err(Hazard::Compressed(kind)));
    }
    assert_eq!(last(&[event(172, &[])]), Err(Hazard::UnknownEvent(172)));
    assert_eq!(last(&[event(200, &[])]), Err(Hazard::UnknownEvent(200)));
    let short = last(&[event(GTID, &[0; 12])]);
    assert!(matches!(
        short,
        Err(Hazard::Unreadable { what: "GTID", .. })
    ));
}

#[test]
fn an_unknown_event_that_may_be_ignored_is() {
    let format = FormatDescriptionEvent::new(BinlogVersion::Version4);
    let ignorable = Event::read(&format, bytes_of(200, 0x80, &[]).as_slice()).unwrap();
    assert_eq!(last(&[ignorable]), Ok(Step::Nothing));
}

#[test]
fn the_first_rotation_of_a_stream_may_have_a_name_with_garbage() {
    let mut data = 4_u64.to_le_bytes().to_vec();
    data.extend(b"binlog.000001\xfe\xff\x00\x80");
    assert_eq!(last(&[event(ROTATE, &data)]), Ok(Step::Nothing));
}

#[test]
fn what_has_no_beginning_or_no_end_is_refused() {
    let unfinished = Err(Hazard::Unfinished("0-77-5".into()));
    assert_eq!(last(&[gtid(0, 5, 0), gtid(0, 6, 0)]), unfinished);
    let outside = Err(Hazard::OutsideTransaction("commit"));
    assert_eq!(last(&[event(XID, &[0; 8])]), outside);
}

#[test]
fn a_transaction_that_a_start_of_the_server_breaks_off_never_was() {
    let open = || gtid(0, 5, TRANSACTIONAL);
    let started = last(&[open(), format(MARIADB, true)]);
    assert_eq!(started, Ok(Step::Interrupted(id(0, 5))));
    // Only a start takes it back, and MySQL leaves nothing to be taken back.
    let unfinished = Err(Hazard::Unfinished("0-77-5".into()));
    assert_eq!(last(&[open(), format(MARIADB, false)]), unfinished);
    assert_eq!(last(&[open(), format("9.7.4", true)]), unfinished);
    assert_eq!(last(&[format(MARIADB, true)]), Ok(Step::Nothing));
}

#[test]
fn an_event_whose_bytes_changed_on_the_way_is_refused() {
    let footer = BinlogEventFooter::new(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32);
    let format = FormatDescriptionEvent::new(BinlogVersion::Version4).with_footer(footer);
    let data = gtid(0, 5, TRANSACTIONAL).data().to_vec();
    let whole = Event::read(
        &format,
        bytes_of(GTID, 0, &[&data[..], &[0; 4]].concat()).as_slice(),
    );
    let crc = whole
        .unwrap()
        .calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)
        .to_le_bytes();
    let mut bytes = bytes_of(GTID, 0, &[&data[..], &crc].concat());
    let read = |bytes: &[u8]| Event::read(&format, bytes).unwrap();
    assert_eq!(last(&[read(&bytes)]), Ok(Step::Nothing));
    for place in 0..bytes.len() {
        // The size says where the event ends.
        if (9..13).contains(&place) {
            continue;
        }
        bytes[place] ^= 0x10;
        let refused = last(&[read(&bytes)]);
        assert!(matches!(refused, Err(Hazard::Checksum { .. })), "{place}");
        bytes[place] ^= 0x10;
    }
}
