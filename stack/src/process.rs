//! Processes as the system sees them: who they are, whether they live, and signals to them.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::{Context, Result};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// When it started: clock ticks since the boot named by `boot_id`.
    pub(crate) started: u64,
    pub(crate) boot_id: String,
}

/// What `/proc/PID/stat` tells that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    started: u64,
}

/// How a living process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    Running,
    Paused,
}

impl Identity {
    /// Who has this pid now; nobody, if it is gone or a zombie.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = stat(pid)?;
        (!is_gone(stat.state)).then(|| Self {
            pid,
            started: stat.started,
            boot_id: boot_id(),
        })
    }

    /// Whether this very process lives. A zombie is gone: it holds neither files nor ports.
    pub(crate) fn liveness(&self) -> Option<Liveness> {
        let stat = stat(self.pid)?;
        if is_gone(stat.state) || stat.started != self.started || boot_id() != self.boot_id {
            return None;
        }
        let paused = matches!(stat.state, 'T' | 't');
        Some(if paused {
            Liveness::Paused
        } else {
            Liveness::Running
        })
    }

    /// Sends a signal, unless the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.liveness().and_then(|_| Pid::from_raw(self.pid)) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno).doing(&format!("signal to pid {}", self.pid)),
        }
    }

    /// Waits until the process is gone; false when it is still there after `limit`.
    pub(crate) async fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.liveness().is_some() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").trim().parse().ok()
    }
}

fn is_gone(state: char) -> bool {
    matches!(state, 'Z' | 'X' | 'x')
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name stands in brackets and may itself contain brackets and spaces.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, started })
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// A command that will run detached from our terminal and session; `setsid` replaces itself with the
/// program, so that the pid is the program's.
pub(crate) fn detached(program: &Path) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program);
    command
}

/// Starts a detached command with its output appended to `log`.
///
/// A thread reaps it, should it end before us.
pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<i32> {
    let output = append_to(log)?;
    let errors = output.try_clone().at(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .doing(&format!("starting {command:?}"))?;
    let pid = i32::try_from(child.id())
        .map_err(std::io::Error::other)
        .doing("pid")?;
    std::thread::spawn(move || child.wait());
    Ok(pid)
}

/// SIGKILL to a process that was started detached and to whatever it has started.
pub(crate) fn kill_group(leader: i32) {
    if let Some(group) = Pid::from_raw(leader) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

pub(crate) fn append_to(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .at(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let line = "42 (a) b) S 1 42 42 0 -1 4194304 1 0 0 0 7 8 0 0 20 0 3 0 12345 999 5 0";
        assert_eq!(
            parse_stat(line),
            Some(Stat {
                state: 'S',
                started: 12_345
            })
        );
    }

    #[test]
    fn we_are_alive_and_a_later_process_with_our_pid_is_not_us() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let us = Identity::of(pid).unwrap();
        assert_eq!(us.liveness(), Some(Liveness::Running));
        let later = Identity {
            started: us.started + 1,
            ..us
        };
        assert_eq!(later.liveness(), None);
    }

    #[tokio::test]
    async fn a_zombie_is_gone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        identity.signal(Signal::KILL).unwrap();
        assert!(
            identity.gone_within(Duration::from_secs(5)).await,
            "nobody has reaped it yet"
        );
        child.wait().unwrap();
    }
}
