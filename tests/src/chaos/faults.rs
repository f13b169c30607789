//! The deeds, done to a running stack and undone again.

use super::schedule::{Deed, WITH_OWN_CLOCK};
use crate::network::Network;
use crate::proxy::Fault;
use anyhow::{Context, Result};
use sqlx::Executor;
use stack::{Server, ServerName, ServerState, Stack};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

const SQL_WITHIN: Duration = Duration::from_secs(10);

/// The stack under faults.
pub(super) struct World {
    pub(super) stack: Stack,
    network: Network,
    /// Processes that are down because they are meant to be.
    down: Mutex<HashSet<ServerName>>,
}

impl World {
    pub(super) fn new(stack: Stack, network: Network) -> Self {
        Self {
            stack,
            network,
            down: Mutex::default(),
        }
    }

    /// Everything that is meant to run.
    pub(super) fn processes(&self) -> impl Iterator<Item = Server> {
        let services = self.stack.services().into_iter().chain([WITH_OWN_CLOCK]);
        ServerName::SERVERS
            .into_iter()
            .chain(services)
            .map(|name| self.stack.handle(name))
    }

    /// Begins a deed.
    pub(super) async fn begin(&self, deed: Deed) -> Result<()> {
        let target = self.stack.handle(deed.target());
        match deed {
            Deed::Kill(name) => {
                self.meant_down().insert(name);
                target.kill().await?;
            }
            Deed::Restart(name) => {
                self.meant_down().insert(name);
                target.stop().await?;
            }
            Deed::Pause(_) => target.pause()?,
            Deed::Network(name, fault) => self.network.set(name, fault),
            Deed::Flush => flush(self.stack.env().redis_url.as_str()).await?,
            Deed::ReadOnly(name) => self.read_only(name, true).await?,
            Deed::Clock(seconds) => target.shift_clock(seconds)?,
        }
        Ok(())
    }

    /// Undoes it, and waits until a killed server is ready.
    pub(super) async fn end(&self, deed: Deed) -> Result<()> {
        let target = self.stack.handle(deed.target());
        match deed {
            Deed::Kill(name) | Deed::Restart(name) => {
                // A service that waits for a server is not waited for in turn.
                let started = if name.is_service() {
                    target.launch().await
                } else {
                    target.start().await
                };
                self.meant_down().remove(&name);
                started?;
            }
            Deed::Pause(_) => target.resume()?,
            Deed::Network(name, _) => self.network.set(name, Fault::Pass),
            Deed::Flush => {}
            Deed::ReadOnly(name) => self.read_only(name, false).await?,
            Deed::Clock(_) => target.shift_clock(0)?,
        }
        Ok(())
    }

    /// Starts again what ended by itself, as whatever supervises processes would; who that was.
    pub(super) async fn supervise(&self) -> Vec<ServerName> {
        let mut ended = Vec::new();
        for process in self.processes() {
            let meant = self.meant_down().contains(&process.name());
            if !meant && process.pid().is_none() && process.launch().await.is_ok() {
                ended.push(process.name());
            }
        }
        ended
    }

    /// Undoes whatever may be left, and waits until all is up.
    pub(super) async fn quiet(&self) -> Result<()> {
        self.meant_down().clear();
        for process in self.processes() {
            self.network.set(process.name(), Fault::Pass);
            if process.status().state == ServerState::Paused {
                process.resume()?;
            }
        }
        self.stack.handle(WITH_OWN_CLOCK).shift_clock(0)?;
        self.stack.up_servers().await?;
        for name in [ServerName::Mysql(0), ServerName::Mysql(1)] {
            self.read_only(name, false).await?;
        }
        let mut services = self.stack.services();
        services.push(WITH_OWN_CLOCK);
        self.stack.start_all(&services, |_, _| {}).await?;
        Ok(())
    }

    async fn read_only(&self, name: ServerName, yes: bool) -> Result<()> {
        let ServerName::Mysql(number) = name else {
            return Ok(());
        };
        let urls = &self.stack.env().order_shards;
        let url = urls.get(usize::from(number)).context("no such database")?;
        let statement = if yes {
            "SET GLOBAL super_read_only = ON"
        } else {
            "SET GLOBAL read_only = OFF"
        };
        let doing = async {
            let mut connection = crate::facts::connect(url).await?;
            connection.execute(statement).await?;
            anyhow::Ok(())
        };
        timeout(SQL_WITHIN, doing).await.context("read-only")?
    }

    fn meant_down(&self) -> std::sync::MutexGuard<'_, HashSet<ServerName>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn flush(url: &str) -> Result<()> {
    let client = redis::Client::open(url)?;
    let doing = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("FLUSHALL").query_async(&mut connection).await
    };
    let () = timeout(SQL_WITHIN, doing).await.context("flush")??;
    Ok(())
}
