//! What every session with a database agrees on before its first statement.

use crate::{StoreError, StoresSettings, TlsMode};
use domain::ShardName;
use sqlx::Executor;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use std::str::FromStr;
use std::time::Duration;

const READ_IDENTITY: &str = "SELECT store, shard, slot_map_epoch FROM shard_identity";

/// A database's address, the name it must carry, and the session's settings.
#[derive(Debug, Clone)]
pub(crate) struct SessionPlan {
    /// Which shard it is.
    pub name: ShardName,
    slot_map_epoch: u32,
    lock_wait_timeout_s: u32,
    statement_timeout_ms: u32,
    idle_timeout_s: u32,
}

impl SessionPlan {
    pub fn new(name: ShardName, settings: &StoresSettings) -> Self {
        Self {
            name,
            slot_map_epoch: settings.slot_map_epoch,
            lock_wait_timeout_s: settings.lock_wait_timeout_s,
            statement_timeout_ms: settings.statement_timeout_ms,
            idle_timeout_s: settings.idle_timeout_s,
        }
    }

    /// Settles time zone, isolation, strictness and time-outs, so that no server default decides.
    pub async fn settle(&self, conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        conn.execute(sqlx::AssertSqlSafe(self.statements())).await?;
        Ok(())
    }

    /// Whether the database carries the name it should.
    pub async fn check_identity(&self, conn: &mut MySqlConnection) -> Result<(), StoreError> {
        let row: Result<Option<(String, u16, u32)>, _> =
            sqlx::query_as(READ_IDENTITY).fetch_optional(conn).await;
        let row = row.map_err(|error| StoreError::of(self.name, error))?;
        let found = match row {
            Some((store, shard, epoch)) => describe(&format!("{store}-{shard}"), epoch),
            None => "nothing".to_owned(),
        };
        let expected = describe(&self.name.to_string(), self.slot_map_epoch);
        if found == expected {
            Ok(())
        } else {
            Err(StoreError::WrongDatabase { expected, found })
        }
    }

    fn statements(&self) -> String {
        let lock_wait = self.lock_wait_timeout_s;
        let idle_s = self.idle_timeout_s;
        let statement_ms = self.statement_timeout_ms;
        let statement_s = Duration::from_millis(statement_ms.into()).as_secs_f64();
        // MariaDB alone runs what stands in /*M! */, MySQL alone what stands in /*!80000 */.
        format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
             SET SESSION time_zone = '+00:00',
                 SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE',
                 SESSION innodb_lock_wait_timeout = {lock_wait},
                 SESSION lock_wait_timeout = {lock_wait},
                 SESSION wait_timeout = {idle_s}
                 /*!80000 , SESSION max_execution_time = {statement_ms} */
                 /*M! , SESSION max_statement_time = {statement_s} */"
        )
    }
}

fn describe(name: &str, epoch: u32) -> String {
    format!("{name} of slot map epoch {epoch}")
}

/// How to reach a database.
pub(crate) fn connect_options(
    url: &str,
    settings: &StoresSettings,
) -> Result<MySqlConnectOptions, StoreError> {
    // The error may hold the URL, and the URL a password.
    let unreadable = |_| StoreError::Settings("a shard's URL cannot be read".to_owned());
    let options = MySqlConnectOptions::from_str(url).map_err(unreadable)?;
    let mode = match settings.tls {
        TlsMode::Disabled => MySqlSslMode::Disabled,
        TlsMode::Preferred => MySqlSslMode::Preferred,
        TlsMode::Required => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
    };
    let options = options.ssl_mode(mode).timezone(None).charset("utf8mb4");
    Ok(match &settings.ca_file {
        Some(file) => options.ssl_ca(file),
        None => options,
    })
}
