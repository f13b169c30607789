//! From events to changes of orders, transaction by transaction.
//!
//! The stream's grammar is: a GTID, a beginning, rows after their table's description, an end. On
//! MariaDB the GTID is the beginning, except of a lone statement. The position moves at the end only.
//! Events of a compressed transaction arrive after the event that carried them. Whatever is not
//! understood and might hide a row of ours is a [`Hazard`].

mod mariadb;

use crate::gtid_set::{Gtid, Source};
use crate::hazard::{Hazard, is_inner, unreadable, verify_checksum};
use crate::source::Shard;
use crate::statement::{self, Statement};
use crate::stream_position::TransactionId;
use crate::table::{OrdersTable, orders_table, table_id};
use mysql_async::binlog::EventType;
use mysql_async::binlog::events::{
    Event, ExecuteLoadQueryEvent, GtidEvent, IncidentEvent, QueryEvent, TableMapEvent,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Tables described in one stream before the descriptions are forgotten; the next ones come again.
const TABLES_MAX: usize = 10_000;

/// What one event means to the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do.
    Nothing,
    /// The event holds rows of our `orders`; see [`OrdersTable`].
    Rows(Arc<OrdersTable>),
    /// The transaction is complete.
    Completed(TransactionId),
    /// The transaction is complete, and none of its rows stands.
    Undone(TransactionId),
    /// The server died while it wrote this transaction: none of its rows stands, it never was.
    Interrupted(TransactionId),
    /// The transaction may come back to here.
    Savepoint(String),
    /// The transaction goes back to this savepoint: rows after it do not stand.
    UndoneTo(String),
    /// A table or database of ours was emptied or dropped by this statement, in this transaction.
    Removed(String, Option<TransactionId>),
}

/// Where in the grammar the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Between,
    /// The id is known, the first statement or row is not here yet.
    Opened(TransactionId),
    Inside {
        id: TransactionId,
        xa: bool,
    },
}

/// Follows the grammar of one stream.
pub struct Assembler {
    shards: Vec<Shard>,
    tables: HashMap<u64, Option<Arc<OrdersTable>>>,
    state: State,
    payload_waits_for_events: bool,
}

impl Assembler {
    /// At the beginning of a stream from the server of these shards.
    pub fn new(shards: Vec<Shard>) -> Self {
        Self {
            shards,
            tables: HashMap::new(),
            state: State::Between,
            payload_waits_for_events: false,
        }
    }

    /// Takes the next event.
    pub fn accept(&mut self, event: &Event) -> Result<Step, Hazard> {
        verify_checksum(event)?;
        self.check_payload(event)?;
        let kind = match event.header().event_type() {
            Ok(kind) => kind,
            Err(unknown) => return self.foreign(event, unknown.into()),
        };
        match kind {
            EventType::GTID_EVENT | EventType::GTID_TAGGED_LOG_EVENT => self.open(event),
            EventType::ANONYMOUS_GTID_EVENT => Err(Hazard::Anonymous),
            EventType::QUERY_EVENT => self.query(event),
            EventType::TABLE_MAP_EVENT => self.describe(event),
            EventType::WRITE_ROWS_EVENT
            | EventType::UPDATE_ROWS_EVENT
            | EventType::DELETE_ROWS_EVENT
            | EventType::PARTIAL_UPDATE_ROWS_EVENT
            | EventType::WRITE_ROWS_EVENT_V1
            | EventType::UPDATE_ROWS_EVENT_V1
            | EventType::DELETE_ROWS_EVENT_V1 => self.rows(event),
            EventType::XID_EVENT | EventType::XA_PREPARE_LOG_EVENT => self.complete("commit"),
            EventType::TRANSACTION_PAYLOAD_EVENT => {
                self.payload_waits_for_events = true;
                Ok(Step::Nothing)
            }
            EventType::INCIDENT_EVENT => Err(incident(event)),
            EventType::EXECUTE_LOAD_QUERY_EVENT => self.load_data(event),
            EventType::PRE_GA_WRITE_ROWS_EVENT
            | EventType::PRE_GA_UPDATE_ROWS_EVENT
            | EventType::PRE_GA_DELETE_ROWS_EVENT => Err(Hazard::UnknownEvent(kind as u8)),
            EventType::UNKNOWN_EVENT | EventType::ENUM_END_EVENT => {
                unknown_event(event, event.header().event_type_raw())
            }
            // A server that starts again numbers its tables anew, and begins another file.
            EventType::FORMAT_DESCRIPTION_EVENT => {
                self.tables.clear();
                self.restart(event)
            }
            EventType::ROTATE_EVENT => {
                self.tables.clear();
                Ok(Step::Nothing)
            }
            EventType::STOP_EVENT
            | EventType::HEARTBEAT_EVENT
            | EventType::PREVIOUS_GTIDS_EVENT
            | EventType::IGNORABLE_EVENT
            | EventType::ROWS_QUERY_EVENT
            | EventType::TRANSACTION_CONTEXT_EVENT
            | EventType::VIEW_CHANGE_EVENT
            | EventType::INTVAR_EVENT
            | EventType::RAND_EVENT
            | EventType::USER_VAR_EVENT
            | EventType::START_EVENT_V3
            | EventType::LOAD_EVENT
            | EventType::SLAVE_EVENT
            | EventType::CREATE_FILE_EVENT
            | EventType::APPEND_BLOCK_EVENT
            | EventType::EXEC_LOAD_EVENT
            | EventType::DELETE_FILE_EVENT
            | EventType::NEW_LOAD_EVENT
            | EventType::BEGIN_LOAD_QUERY_EVENT => Ok(Step::Nothing),
        }
    }

    /// The decoder drops a transaction that it cannot unpack without a word.
    fn check_payload(&mut self, event: &Event) -> Result<(), Hazard> {
        if self.payload_waits_for_events && !is_inner(event) {
            return Err(Hazard::EmptyPayload);
        }
        self.payload_waits_for_events = false;
        Ok(())
    }

    fn ensure_between(&self) -> Result<(), Hazard> {
        match &self.state {
            State::Between => Ok(()),
            State::Opened(id) | State::Inside { id, .. } => Err(Hazard::Unfinished(id.to_string())),
        }
    }

    fn open(&mut self, event: &Event) -> Result<Step, Hazard> {
        self.ensure_between()?;
        let read = event.read_event::<GtidEvent>();
        let read = read.map_err(|error| unreadable("GTID", &error))?;
        let tag = read.tag().map(|tag| tag.as_str().to_owned());
        let uuid = read.sid();
        let gtid = Gtid {
            source: Source { uuid, tag },
            number: read.gno(),
        };
        self.state = State::Opened(gtid.into());
        Ok(Step::Nothing)
    }

    fn enter(&mut self, what: &'static str, xa: bool) -> Result<(), Hazard> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Opened(id) => self.state = State::Inside { id, xa },
            inside @ State::Inside { .. } => self.state = inside,
            State::Between => return Err(Hazard::OutsideTransaction(what)),
        }
        Ok(())
    }

    fn complete(&mut self, what: &'static str) -> Result<Step, Hazard> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Opened(id) | State::Inside { id, .. } => Ok(Step::Completed(id)),
            State::Between => Err(Hazard::OutsideTransaction(what)),
        }
    }

    fn undo(&mut self) -> Result<Step, Hazard> {
        match self.complete("rollback")? {
            Step::Completed(id) => Ok(Step::Undone(id)),
            other => Ok(other),
        }
    }

    fn query(&mut self, event: &Event) -> Result<Step, Hazard> {
        let query = event.read_event::<QueryEvent<'_>>();
        let query = query.map_err(|error| unreadable("query", &error))?;
        let (text, schema) = (query.query(), query.schema());
        let touches_orders = || {
            let ours = self.shards.iter().map(|shard| shard.schema.as_str());
            statement::touches_orders(&text, &schema, ours)
        };
        match statement::read(&text) {
            Statement::Begin | Statement::CreateWithRows => {
                self.enter("begin", false).map(|()| Step::Nothing)
            }
            Statement::XaBegin => self.enter("begin", true).map(|()| Step::Nothing),
            Statement::Inside => Ok(Step::Nothing),
            Statement::End => self.complete("commit"),
            Statement::Rollback => self.undo(),
            Statement::Savepoint => Ok(Step::Savepoint(statement::savepoint_name(&text))),
            Statement::RollbackTo => Ok(Step::UndoneTo(statement::savepoint_name(&text))),
            Statement::Dml if touches_orders() => {
                Err(Hazard::Statement(text.chars().take(200).collect()))
            }
            Statement::Removal if touches_orders() => {
                let removed = text.chars().take(200).collect();
                Ok(match self.alone()? {
                    Step::Completed(id) => Step::Removed(removed, Some(id)),
                    _ => Step::Removed(removed, None),
                })
            }
            Statement::Alone | Statement::Dml | Statement::Removal => self.alone(),
        }
    }

    /// A file loaded by a statement: DML as text, like any other.
    fn load_data(&mut self, event: &Event) -> Result<Step, Hazard> {
        let load = event.read_event::<ExecuteLoadQueryEvent<'_>>();
        let load = load.map_err(|error| unreadable("load", &error))?;
        let (text, schema) = (load.query(), load.schema());
        let ours = self.shards.iter().map(|shard| shard.schema.as_str());
        if statement::touches_orders(&text, &schema, ours) {
            return Err(Hazard::Statement(text.chars().take(200).collect()));
        }
        Ok(Step::Nothing)
    }

    /// Inside of a bracket the statement's end is the bracket's; alone it is a transaction itself.
    fn alone(&mut self) -> Result<Step, Hazard> {
        match self.state {
            State::Inside { .. } => Ok(Step::Nothing),
            State::Opened(_) | State::Between => self.complete("statement"),
        }
    }

    fn describe(&mut self, event: &Event) -> Result<Step, Hazard> {
        self.enter("table map", false)?;
        let Some(id) = table_id(event) else {
            return Err(unreadable("table map", "it is too short"));
        };
        if self.tables.contains_key(&id) {
            return Ok(Step::Nothing);
        }
        if self.tables.len() >= TABLES_MAX {
            self.tables.clear();
        }
        let table = event.read_event::<TableMapEvent<'_>>();
        let table = table.map_err(|error| unreadable("table map", &error))?;
        let ours = orders_table(&self.shards, &table)?;
        self.tables.insert(id, ours.map(Arc::new));
        Ok(Step::Nothing)
    }

    fn rows(&mut self, event: &Event) -> Result<Step, Hazard> {
        /// The table of no rows: it only says that a statement has ended.
        const DUMMY_TABLE: u64 = 0x00ff_ffff;
        let Some(id) = table_id(event) else {
            return Err(unreadable("rows", "it is too short"));
        };
        let State::Inside { xa, .. } = self.state else {
            return Err(Hazard::OutsideTransaction("rows"));
        };
        match self.tables.get(&id) {
            Some(Some(_)) if xa => Err(Hazard::Xa),
            Some(Some(table)) => Ok(Step::Rows(Arc::clone(table))),
            Some(None) => Ok(Step::Nothing),
            None if id == DUMMY_TABLE => Ok(Step::Nothing),
            None => Err(Hazard::NoTableMap(id)),
        }
    }
}

fn unknown_event(event: &Event, kind: u8) -> Result<Step, Hazard> {
    /// What a reader may pass over without understanding it.
    const IGNORABLE: u16 = 0x80;
    if event.header().flags_raw() & IGNORABLE != 0 {
        return Ok(Step::Nothing);
    }
    Err(Hazard::UnknownEvent(kind))
}

fn incident(event: &Event) -> Hazard {
    match event.read_event::<IncidentEvent<'_>>() {
        Ok(incident) => Hazard::Incident(incident.message().into_owned()),
        Err(error) => Hazard::Incident(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
