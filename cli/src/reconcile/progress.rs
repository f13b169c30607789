//! How far a reconciliation is: a line every two seconds, so that a short one says nothing.

use std::time::{Duration, Instant};

const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Says it on standard error.
pub struct Progress {
    told: Instant,
}

impl Progress {
    /// It begins.
    pub fn start() -> Self {
        Self {
            told: Instant::now(),
        }
    }

    /// Says this, if nothing was said for long enough.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.told.elapsed() >= REPORT_EVERY {
            self.told = Instant::now();
            eprintln!("reconcile: {}", line());
        }
    }
}
