//! How a server is asked for its binlog, and what its refusals mean.

use crate::error::{Definite, FollowError, Transient};
use crate::flavour::Flavour;
use crate::hazard::{Hazard, REFUSALS_TO_STREAM, Refusal, classify_refusal};
use crate::settings::FollowerSettings;
use crate::source::{Server, flavour};
use crate::stream_position::Position;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn};

/// Asks the server for everything that is not in `position`.
pub async fn open_stream(
    server: &Server,
    settings: &FollowerSettings,
    position: &Position,
) -> Result<BinlogStream, FollowError> {
    let mut conn = server.connect().await?;
    let heartbeat_ns = settings.heartbeat_ms * 1_000_000;
    let set = format!(
        "SET @source_heartbeat_period = {heartbeat_ns}, @master_heartbeat_period = {heartbeat_ns}"
    );
    conn.query_drop(set).await?;
    let request = match flavour(&mut conn).await? {
        Flavour::MySql => by_gtid_set(server.server_id, position)?,
        Flavour::MariaDb => by_domains(server.server_id, &mut conn, position).await?,
    };
    let stream = conn.get_binlog_stream(request).await;
    stream.map_err(|error| stream_error(error, server.server_id))
}

fn by_gtid_set(
    server_id: u32,
    position: &Position,
) -> Result<BinlogStreamRequest<'static>, FollowError> {
    let known = position.mysql().to_sids();
    let known = known.map_err(|error| Definite::Refused(error.to_string()))?;
    let request = BinlogStreamRequest::new(server_id);
    Ok(request.with_gtid().with_gtid_set(known))
}

/// MariaDB takes the position from the session, and a reader without this capability for an old one,
/// for which it rewrites events that such a one does not know.
async fn by_domains(
    server_id: u32,
    conn: &mut Conn,
    position: &Position,
) -> Result<BinlogStreamRequest<'static>, FollowError> {
    let set = format!(
        "SET @mariadb_slave_capability = 4, @slave_connect_state = '{}', @slave_gtid_strict_mode = 1, \
         @slave_gtid_ignore_duplicates = 0",
        position.mariadb()
    );
    conn.query_drop(set).await?;
    Ok(BinlogStreamRequest::new(server_id))
}

/// What an error on the stream means. Errors of reading an event are not those of the connection.
pub fn stream_error(error: mysql_async::Error, server_id: u32) -> FollowError {
    match &error {
        mysql_async::Error::Server(refusal) if REFUSALS_TO_STREAM.contains(&refusal.code) => {
            match classify_refusal(&refusal.message, server_id) {
                Refusal::Purged => Transient::Purged(refusal.message.clone()).into(),
                Refusal::Definite(hazard) => hazard.into(),
            }
        }
        mysql_async::Error::Io(mysql_async::IoError::Io(io)) if is_about_an_event(io.kind()) => {
            Hazard::Unreadable {
                what: "binlog",
                cause: io.to_string(),
            }
            .into()
        }
        _ => error.into(),
    }
}

fn is_about_an_event(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind;
    matches!(
        kind,
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other
    )
}
