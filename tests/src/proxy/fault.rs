//! What a proxy can do to a connection.

use std::fmt;
use std::time::Duration;

/// What a proxy does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It carries everything.
    Pass,
    /// Whatever it carries comes so much later.
    Delay(Duration),
    /// It resets every connection and refuses new ones.
    Cut,
    /// It takes connections and bytes, and answers nothing.
    BlackHole,
    /// The client is told that the server has nothing more to say; what the client says goes on.
    HalfClose,
    /// It resets a connection once so many bytes have passed in one direction.
    ResetAfter {
        /// Which direction is counted.
        direction: Direction,
        /// How many bytes still pass.
        bytes: u64,
    },
    /// It carries so many bytes in a second, in each direction of each connection.
    Bandwidth {
        /// How many.
        bytes_per_s: u32,
    },
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Fault {
    /// Its name, without its figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Delay(_) => "delay",
            Self::Cut => "cut",
            Self::BlackHole => "black-hole",
            Self::HalfClose => "half-close",
            Self::ResetAfter {
                direction: Direction::Up,
                ..
            } => "reset-up",
            Self::ResetAfter {
                direction: Direction::Down,
                ..
            } => "reset-down",
            Self::Bandwidth { .. } => "bandwidth",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Pass | Self::Cut | Self::BlackHole | Self::HalfClose => Ok(()),
            Self::Delay(time) => write!(f, " {} ms", time.as_millis()),
            Self::ResetAfter { bytes, .. } => write!(f, " after {bytes} bytes"),
            Self::Bandwidth { bytes_per_s } => write!(f, " {bytes_per_s} bytes/s"),
        }
    }
}
