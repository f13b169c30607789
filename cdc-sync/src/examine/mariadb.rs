//! What only MariaDB has to be asked about its binlogs.

use super::{Watermark, read_position, watermark};
use crate::error::{FollowError, Transient};
use crate::maria_gtid::{MariaPosition, read_list};
use crate::preflight::{MariaBinlogs, PositionState, maria_position_state};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use std::time::Duration;

/// What a saved position is worth. There is no function for it as on MySQL.
pub(super) async fn judge(
    conn: &mut Conn,
    saved: &MariaPosition,
) -> Result<PositionState, FollowError> {
    Ok(maria_position_state(saved, &binlogs(conn).await?))
}

async fn binlogs(conn: &mut Conn) -> Result<MariaBinlogs, FollowError> {
    let sql = "SELECT @@GLOBAL.gtid_binlog_state, @@GLOBAL.gtid_slave_pos";
    let (written, replicated): (String, String) = conn.query_first(sql).await?.unwrap_or_default();
    let files: Vec<Row> = conn.query("SHOW BINARY LOGS").await?;
    let oldest: String = files
        .first()
        .and_then(|file| file.get(0))
        .unwrap_or_default();
    let begin = position_at(conn, &oldest, FIRST_EVENT).await?;
    let unreadable = |error| Transient::Broken(format!("a position cannot be read: {error}"));
    Ok(MariaBinlogs {
        written: read_list(&written).map_err(unreadable)?,
        begin: begin.parse().map_err(unreadable)?,
        replicated: replicated.parse().map_err(unreadable)?,
    })
}

/// Where the first event of a file stands.
const FIRST_EVENT: u64 = 4;

/// The last ids before a place in a binlog file.
async fn position_at(conn: &mut Conn, file: &str, offset: u64) -> Result<String, FollowError> {
    let sql = "SELECT BINLOG_GTID_POS(?, ?)";
    let answer: Option<Option<String>> = conn.exec_first(sql, (file, offset)).await?;
    // Nothing was found where the file was purged just now; the next attempt asks anew.
    let gone = || {
        Transient::Broken(format!(
            "there is no position {offset} in the binlog {file:?}"
        ))
    };
    Ok(answer.flatten().ok_or_else(gone)?)
}

/// MariaDB counts a transaction as written before its rows can be seen. What a consistent snapshot
/// tells is how far the rows are that can be seen.
pub(super) async fn snapshot_watermark(
    conn: &mut Conn,
    timeout: Duration,
) -> Result<Watermark, FollowError> {
    let at = watermark(conn, timeout).await?.at;
    conn.query_drop("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await?;
    let told: Vec<(String, String)> = conn.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    conn.query_drop("COMMIT").await?;
    let value = |name: &str| {
        let mut named = told
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named
            .next()
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    let offset = value("binlog_snapshot_position").parse();
    let offset =
        offset.map_err(|_| Transient::Broken(format!("no consistent snapshot: {told:?}")))?;
    let executed = position_at(conn, value("binlog_snapshot_file"), offset).await?;
    let executed = read_position(&executed)?;
    Ok(Watermark { at, executed })
}
