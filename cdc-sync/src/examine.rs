//! Asks a server what the preflight checks need, and where it stands.

mod mariadb;

use crate::error::{FollowError, Transient};
use crate::flavour::Flavour;
use crate::gtid_set::GtidSet;
use crate::preflight::{
    PositionState, PreflightError, VARIABLES, Variables, ensure_followable, ensure_privileges,
    position_state,
};
use crate::session::within;
use crate::source::{Server, Shard, flavour, own_name};
use crate::stream_position::Position;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::time::Duration;

/// Everything that was committed on a server before an instant of its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// RFC 3339, UTC.
    pub at: String,
    /// The transactions.
    pub executed: Position,
}

/// Passes a server through every check and answers its name for itself.
pub async fn examine(
    server: &Server,
    conn: &mut Conn,
    slot_map_epoch: u32,
) -> Result<String, FollowError> {
    let variables = variables(conn).await?;
    ensure_followable(&variables, server.server_id)?;
    let grants: Vec<String> = conn.query("SHOW GRANTS").await?;
    ensure_privileges(&grants, variables.flavour())?;
    for shard in &server.shards {
        ensure_identity(conn, shard, slot_map_epoch).await?;
    }
    Ok(own_name(conn).await?)
}

async fn variables(conn: &mut Conn) -> Result<Variables, FollowError> {
    let names = VARIABLES.map(|name| format!("'{name}'")).join(",");
    let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})");
    let pairs: Vec<(String, String)> = conn.query(sql).await?;
    Ok(Variables(pairs.into_iter().collect()))
}

async fn ensure_identity(conn: &mut Conn, shard: &Shard, epoch: u32) -> Result<(), FollowError> {
    let sql = format!(
        "SELECT store, shard, slot_map_epoch FROM {}.shard_identity",
        quoted(&shard.schema)
    );
    let found: Option<(String, u16, u32)> = conn.query_first(sql).await?;
    let found = found.map_or("nothing".to_owned(), |(store, index, epoch)| {
        format!("{store}-{index} of slot map epoch {epoch}")
    });
    let expected = format!("{} of slot map epoch {epoch}", shard.name);
    if found == expected {
        return Ok(());
    }
    Err(PreflightError::Identity { expected, found }.into())
}

/// A name as it stands in a statement.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What a saved position is worth on this server.
pub async fn judge(conn: &mut Conn, position: &Position) -> Result<PositionState, FollowError> {
    let flavour = flavour(conn).await?;
    if !position.is_of(flavour) {
        return Ok(PositionState::Foreign);
    }
    match flavour {
        Flavour::MySql => judge_on_mysql(conn, position.mysql()).await,
        Flavour::MariaDb => mariadb::judge(conn, position.mariadb()).await,
    }
}

async fn judge_on_mysql(conn: &mut Conn, saved: &GtidSet) -> Result<PositionState, FollowError> {
    let saved = saved.to_string();
    let answer: Option<(bool, bool)> = conn
        .exec_first(
            "SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, ?), GTID_SUBSET(?, @@GLOBAL.gtid_executed)",
            (&saved, &saved),
        )
        .await?;
    let (purged_is_in_saved, saved_is_in_executed) = answer.unwrap_or_default();
    Ok(position_state(purged_is_in_saved, saved_is_in_executed))
}

/// An instant, and all that was visible before it. The instant is that of the statement's start, so it
/// is never later than the set. On MariaDB the set may also hold what is about to become visible.
pub async fn watermark(conn: &mut Conn, timeout: Duration) -> Result<Watermark, FollowError> {
    // MariaDB alone runs what stands in /*M! */, MySQL alone what stands in /*!80000 */.
    let sql = "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ'), \
               /*M! @@GLOBAL.gtid_binlog_pos */ /*!80000 @@GLOBAL.gtid_executed */";
    let answer = within(timeout, conn.query_first::<(String, String), _>(sql)).await?;
    let (at, executed) = answer.unwrap_or_default();
    let executed = read_position(&executed)?;
    Ok(Watermark { at, executed })
}

/// As [`watermark`], but all of the set is visible to whoever reads rows after this.
pub async fn snapshot_watermark(
    conn: &mut Conn,
    timeout: Duration,
) -> Result<Watermark, FollowError> {
    match within(timeout, flavour(conn)).await? {
        Flavour::MySql => watermark(conn, timeout).await,
        Flavour::MariaDb => within(timeout, mariadb::snapshot_watermark(conn, timeout)).await,
    }
}

/// Reads how far a server says that it is.
fn read_position(text: &str) -> Result<Position, Transient> {
    let read = text.parse::<Position>();
    read.map_err(|error| {
        Transient::Broken(format!("the server's position cannot be read: {error}"))
    })
}
