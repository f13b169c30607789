//! CPU time and memory of processes, as the kernel counts them.

use std::time::Duration;

use anyhow::{Context, Result};
use stack::{ServerName, Stack};

/// The kernel's unit in `/proc/PID/stat`: 10 ms on every architecture Linux runs on today.
const TICK: Duration = Duration::from_millis(10);
/// What the bench's own process is called.
pub const BENCH: &str = "bench";

/// A process that is watched, by the name it has in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its name in the report.
    pub name: String,
    /// Its process.
    pub pid: i32,
}

/// Watches processes from its start to its end.
#[derive(Debug)]
pub struct CpuMeter {
    watched: Vec<Watched>,
    at_start: Vec<Duration>,
}

/// What each process used, by name.
#[derive(Debug, Clone, Default)]
pub struct CpuUse(pub Vec<(String, Duration)>);

impl CpuMeter {
    /// Starts watching whatever runs of the stack, the bench, and `more`.
    pub fn start(stack: &Stack, more: &[Watched]) -> Result<Self> {
        let own = Watched {
            name: BENCH.to_owned(),
            pid: i32::try_from(std::process::id()).context("our own pid")?,
        };
        let running = ServerName::all().filter_map(|name| {
            let pid = stack.handle(name).pid()?;
            Some(Watched {
                name: name.to_string(),
                pid,
            })
        });
        let watched: Vec<Watched> = running.chain([own]).chain(more.iter().cloned()).collect();
        let at_start = watched
            .iter()
            .map(|process| cpu_time(process.pid))
            .collect::<Result<_>>()?;
        Ok(Self { watched, at_start })
    }

    /// Starts a service, and watches it too, from its birth on.
    pub async fn start_with_birth_of(stack: &Stack, name: ServerName) -> Result<Self> {
        let mut meter = Self::start(stack, &[])?;
        let service = stack.handle(name);
        service.launch().await?;
        if let Some(pid) = service.pid() {
            let name = name.to_string();
            meter.watched.push(Watched { name, pid });
            meter.at_start.push(Duration::ZERO);
        }
        Ok(meter)
    }

    /// What each used since the start.
    pub fn stop(self) -> Result<CpuUse> {
        let used = self.watched.into_iter().zip(self.at_start);
        let used = used.map(|(process, before)| {
            let now = cpu_time(process.pid)?;
            Ok((process.name, now.saturating_sub(before)))
        });
        Ok(CpuUse(used.collect::<Result<_>>()?))
    }
}

impl CpuUse {
    /// Microseconds of CPU per order of the processes that `counted` names.
    pub fn us_per_order(&self, orders: usize, counted: impl Fn(&str) -> bool) -> f64 {
        let named = self.0.iter().filter(|(name, _)| counted(name));
        let total: Duration = named.map(|(_, time)| *time).sum();
        total.as_secs_f64() * 1e6 / orders as f64
    }
}

/// User and system time of a living process, its ended threads included.
pub fn cpu_time(pid: i32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let line = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    parse_cpu_time(&line).with_context(|| format!("cannot read the times in {path}"))
}

/// The most memory that was ever resident, in MB of 1,000,000 bytes.
pub fn peak_resident_mb(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|text| {
        text.trim()
            .trim_end_matches(" kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    Ok(kib.with_context(|| format!("no VmHWM in {path}"))? * 1_024.0 / 1e6)
}

/// The program's name stands in brackets and may itself contain brackets and spaces.
fn parse_cpu_time(line: &str) -> Option<Duration> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_summed() {
        let line = "42 (a) b) S 1 42 42 0 -1 4194304 1 0 0 0 7 8 0 0 20 0 3 0 12345 999 5 0";
        assert_eq!(parse_cpu_time(line), Some(Duration::from_millis(150)));
    }

    #[test]
    fn our_own_peak_is_known() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(peak_resident_mb(pid).unwrap() > 1.0);
    }
}
