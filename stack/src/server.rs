//! A handle on one process of a stack.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{Result, StackError};
use crate::launch::{self, Launch};
use crate::lock::Lock;
use crate::name::ServerName;
use crate::pid_file::PidFile;
use crate::process::{self, Identity, Liveness};
use crate::ready;
use crate::stack::Stack;
use crate::status::{ServerState, ServerStatus};

const READY_WITHIN: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(100);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const KILL_WITHIN: Duration = Duration::from_secs(10);
const LAUNCHER_WITHIN: Duration = Duration::from_secs(120);
const PAUSE_LOOKS_MAX: usize = 1_000;
const LOG_TAIL_LINES: usize = 20;

/// How a server ended when asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// It was not running.
    WasStopped,
    /// It ended by itself on SIGTERM.
    Orderly,
    /// It did not end in time and got SIGKILL.
    Killed,
}

/// One process of a stack, running or not. Cheap to clone; keeps no state of its own.
#[derive(Debug, Clone)]
pub struct Server {
    stack: Stack,
    name: ServerName,
    pid_file: Arc<PidFile>,
}

impl Server {
    pub(crate) fn new(stack: Stack, name: ServerName) -> Self {
        let pid_file = Arc::new(PidFile::new(stack.layout().pid(name)));
        Self {
            stack,
            name,
            pid_file,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> ServerName {
        self.name
    }

    /// The pid of the server's own process, paused or not; none when it is gone.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid_file.living().map(|identity| identity.pid)
    }

    /// Starts it on whatever data it has, and waits until it is ready. Does nothing but wait when it
    /// runs already.
    ///
    /// # Errors
    /// When something it needs is missing, it ends early, or is not ready within two minutes.
    pub async fn start(&self) -> Result<()> {
        self.launch().await?;
        self.await_ready().await?;
        launch::note_first_start_done(self.name, self.stack.layout())
    }

    /// Starts it without waiting until it is ready.
    ///
    /// # Errors
    /// When something it needs is missing.
    pub async fn launch(&self) -> Result<()> {
        let _lock = self.lock().await?;
        if self.pid().is_some() {
            return Ok(());
        }
        let stack = self.stack.clone();
        let name = self.name;
        let preparing =
            tokio::task::spawn_blocking(move || launch::prepare(name, stack.layout(), stack.env()));
        let Launch {
            command,
            own_pid_file,
        } = preparing
            .await
            .map_err(|panic| StackError::CommandFailed {
                what: format!("preparing {name}"),
                detail: panic.to_string(),
            })??;
        let log = self.stack.layout().log(self.name);
        let started = process::spawn(command, &log)?;
        let identity = match own_pid_file {
            None => Identity::of(started),
            Some(file) => self.await_own_pid(started, &file).await,
        };
        match identity {
            Some(identity) => self.pid_file.write(&identity),
            None => Err(self.ended_early()),
        }
    }

    /// Waits until it does its work.
    ///
    /// # Errors
    /// When it is not running, ends meanwhile, or is not ready within two minutes.
    pub async fn ready(&self) -> Result<()> {
        self.running()?;
        self.await_ready().await
    }

    async fn await_ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Err(not_yet) = ready::ask(self.name, self.stack.env()).await else {
                return Ok(());
            };
            if self.pid().is_none() {
                return Err(self.ended_early());
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(StackError::NotReady {
                    name: self.name,
                    waited: READY_WITHIN,
                    last: not_yet,
                    log: self.stack.layout().log(self.name),
                });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// SIGTERM, a bounded wait, then SIGKILL.
    ///
    /// # Errors
    /// When it is still there after that.
    pub async fn stop(&self) -> Result<StopOutcome> {
        let _lock = self.lock().await?;
        let Some(identity) = self.pid_file.living() else {
            self.pid_file.remove();
            return Ok(StopOutcome::WasStopped);
        };
        identity.signal(Signal::TERM)?;
        // A paused process would sleep over it.
        identity.signal(Signal::CONT)?;
        if identity.gone_within(STOP_WITHIN).await {
            self.pid_file.remove();
            return Ok(StopOutcome::Orderly);
        }
        self.kill_now(&identity).await?;
        Ok(StopOutcome::Killed)
    }

    /// SIGKILL, and waits until it is gone. Does nothing when it is gone already.
    ///
    /// # Errors
    /// When it is still there after that.
    pub async fn kill(&self) -> Result<()> {
        let _lock = self.lock().await?;
        match self.pid_file.living() {
            Some(identity) => self.kill_now(&identity).await,
            None => Ok(()),
        }
    }

    /// SIGSTOP: it keeps its connections and answers nobody from when this returns.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self) -> Result<()> {
        let identity = self.running()?;
        identity.signal(Signal::STOP)?;
        // Its threads stop one by one, within a moment.
        for _ in 0..PAUSE_LOOKS_MAX {
            if identity.liveness() != Some(Liveness::Running) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// SIGCONT: the end of a pause.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> ServerStatus {
        let living = self.pid_file.living();
        let state = match living.as_ref().and_then(Identity::liveness) {
            None => ServerState::Stopped,
            Some(Liveness::Running) => ServerState::Running,
            Some(Liveness::Paused) => ServerState::Paused,
        };
        ServerStatus {
            name: self.name,
            state,
            pid: living.as_ref().map(|identity| identity.pid),
            port: self.stack.env().port(self.name),
            resident_kib: living.as_ref().and_then(Identity::resident_kib),
            uptime: living.and_then(|_| self.pid_file.age()),
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read(self.stack.layout().log(self.name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    pub(crate) fn clock_file(&self) -> PathBuf {
        self.stack.layout().clock(self.name)
    }

    async fn lock(&self) -> Result<Lock> {
        Lock::acquire(&self.stack.layout().lock(&self.name.to_string())).await
    }

    fn running(&self) -> Result<Identity> {
        self.pid_file
            .living()
            .ok_or(StackError::NotRunning(self.name))
    }

    async fn kill_now(&self, identity: &Identity) -> Result<()> {
        identity.signal(Signal::KILL)?;
        if !identity.gone_within(KILL_WITHIN).await {
            return Err(StackError::Unkillable(self.name, identity.pid));
        }
        self.pid_file.remove();
        Ok(())
    }

    /// Waits until a launcher's server has told its pid; none when the launcher ended without that.
    /// A launcher that takes too long is killed with all it has started.
    async fn await_own_pid(&self, launcher: i32, file: &Path) -> Option<Identity> {
        let begun = Instant::now();
        while begun.elapsed() < LAUNCHER_WITHIN {
            let launcher_lives = Identity::of(launcher).is_some();
            let told = std::fs::read_to_string(file)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if let Some(pid) = told {
                return Identity::of(pid);
            }
            if !launcher_lives {
                return None;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        process::kill_group(launcher);
        None
    }

    fn ended_early(&self) -> StackError {
        StackError::EndedEarly {
            name: self.name,
            log: self.stack.layout().log(self.name),
            tail: self.log_tail(LOG_TAIL_LINES),
        }
    }
}
