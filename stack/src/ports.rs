//! Free ports, chosen once and kept.
//!
//! They are taken from below the range the system hands out to clients by itself: a server that is
//! killed must find its port still free when it comes back.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};

use rand::Rng;

use crate::error::{Result, StackError};

const LOWEST: u16 = 12_000;
const ATTEMPTS_MAX: usize = 1_000;

/// Hands out ports that nobody listens on, each once.
#[derive(Debug)]
pub(crate) struct FreePorts {
    end: u16,
    taken: HashSet<u16>,
}

impl FreePorts {
    pub(crate) fn new() -> Self {
        let end = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|range| ephemeral_start(&range))
            .unwrap_or(32_768);
        Self {
            // A machine with an unusually low range gets ports from within it.
            end: if end > LOWEST + 1_000 { end } else { 60_000 },
            taken: HashSet::new(),
        }
    }

    pub(crate) fn choose(&mut self) -> Result<u16> {
        let mut rng = rand::rng();
        for _ in 0..ATTEMPTS_MAX {
            let port = rng.random_range(LOWEST..self.end);
            if !self.taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            {
                self.taken.insert(port);
                return Ok(port);
            }
        }
        Err(StackError::NoFreePort(LOWEST, self.end))
    }
}

fn ephemeral_start(range: &str) -> Option<u16> {
    range.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ports_differ_and_are_below_the_clients_range() {
        let mut ports = FreePorts::new();
        let chosen: HashSet<u16> = (0..50).map(|_| ports.choose().unwrap()).collect();
        assert_eq!(chosen.len(), 50);
        assert!(chosen.iter().all(|port| (LOWEST..ports.end).contains(port)));
    }

    #[test]
    fn the_clients_range_is_read_as_the_system_writes_it() {
        assert_eq!(ephemeral_start("32768\t60999\n"), Some(32_768));
        assert_eq!(ephemeral_start(""), None);
    }
}
