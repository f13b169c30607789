//! How a server is doing, and the table of it.

use std::fmt;
use std::time::Duration;

use crate::name::ServerName;

/// Whether a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// Its process lives.
    Running,
    /// Its process lives, and is held by SIGSTOP.
    Paused,
    /// It has no process.
    Stopped,
}

/// One line of the status table.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Which server.
    pub name: ServerName,
    /// Whether it runs.
    pub state: ServerState,
    /// Its process.
    pub pid: Option<i32>,
    /// The port it is known by.
    pub port: Option<u16>,
    /// Resident memory in KiB.
    pub resident_kib: Option<u64>,
    /// Since its start.
    pub uptime: Option<Duration>,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl ServerStatus {
    /// The heading of the columns that [`ServerStatus`] prints.
    pub const HEADING: &'static str = "NAME           STATE         PID   PORT   MEMORY     UPTIME";
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.resident_kib.map(|kib| format!("{} MB", kib / 1024));
        write!(
            f,
            "{:<14} {:<8} {:>8} {:>6} {:>8} {:>10}",
            self.name,
            self.state,
            or_dash(self.pid),
            or_dash(self.port),
            or_dash(memory),
            or_dash(self.uptime.map(in_words)),
        )
    }
}

fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_their_heading() {
        let line = ServerStatus {
            name: ServerName::Elasticsearch,
            state: ServerState::Running,
            pid: Some(123_456),
            port: Some(12_345),
            resident_kib: Some(1_100_000),
            uptime: Some(Duration::from_secs(3_725)),
        };
        assert_eq!(
            line.to_string(),
            "elasticsearch  running    123456  12345  1074 MB     1h 02m"
        );
        assert_eq!(line.to_string().len(), ServerStatus::HEADING.len());
    }
}
