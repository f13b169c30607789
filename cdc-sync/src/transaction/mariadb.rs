//! What the grammar is on MariaDB, where that differs.

use super::{Assembler, State, Step, unknown_event};
use crate::hazard::{Hazard, unreadable};
use crate::maria_event::{MariaEvent, maria_event, read_gtid};
use crate::stream_position::TransactionId;
use mysql_async::binlog::events::{Event, FormatDescriptionEvent};

impl Assembler {
    /// What the decoder does not know: MariaDB's own events, or nobody's.
    pub(super) fn foreign(&mut self, event: &Event, kind: u8) -> Result<Step, Hazard> {
        match maria_event(kind) {
            Some(MariaEvent::Gtid) => self.open_on_mariadb(event),
            Some(MariaEvent::Aside) => Ok(Step::Nothing),
            Some(MariaEvent::StartEncryption) => Err(Hazard::Encrypted),
            Some(MariaEvent::Compressed) => Err(Hazard::Compressed(kind)),
            None => unknown_event(event, kind),
        }
    }

    fn open_on_mariadb(&mut self, event: &Event) -> Result<Step, Hazard> {
        self.ensure_between()?;
        let read = read_gtid(event)?;
        let id = TransactionId::MariaDb(read.gtid);
        self.state = if read.is_standalone {
            State::Opened(id)
        } else {
            State::Inside { id, xa: read.is_xa }
        };
        Ok(Step::Nothing)
    }

    /// A server that died while it wrote a transaction took it back when it started again. MariaDB
    /// leaves what was written in the old file; only the new file says that there was a start.
    pub(super) fn restart(&mut self, event: &Event) -> Result<Step, Hazard> {
        if self.state == State::Between {
            return Ok(Step::Nothing);
        }
        let file = event.read_event::<FormatDescriptionEvent<'_>>();
        let file = file.map_err(|error| unreadable("format description", &error))?;
        let is_first_after_start = file.create_timestamp() != 0;
        if !is_first_after_start || !file.server_version().contains("MariaDB") {
            return self.ensure_between().map(|()| Step::Nothing);
        }
        match std::mem::replace(&mut self.state, State::Between) {
            State::Opened(id) | State::Inside { id, .. } => Ok(Step::Interrupted(id)),
            State::Between => Ok(Step::Nothing),
        }
    }
}
