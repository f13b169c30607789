//! How far a phase of the demo is: a bar on a terminal, a plain line every few seconds elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{msg:<38} {wide_bar} {pos:>5} of {len:<5} {elapsed:>4}";

/// One phase.
pub struct Progress {
    what: String,
    total: u64,
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    done: u64,
    last_line: Instant,
}

impl Progress {
    /// A phase of `total` steps, none done.
    pub fn start(what: impl Into<String>, total: usize) -> Self {
        let (what, total) = (what.into(), total as u64);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what.clone());
            match ProgressStyle::with_template(TEMPLATE) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        if bar.is_none() {
            eprintln!("{what}: {total}");
        }
        let plain = Mutex::new(Plain {
            done: 0,
            last_line: Instant::now(),
        });
        Self {
            what,
            total,
            bar,
            plain,
        }
    }

    /// One more step is done.
    pub fn advance(&self) {
        self.show(|done| done + 1);
    }

    /// So many steps are done.
    pub fn set(&self, done: usize) {
        self.show(|_| done as u64);
    }

    fn show(&self, step: impl FnOnce(u64) -> u64) {
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        plain.done = step(plain.done);
        match &self.bar {
            Some(bar) => bar.set_position(plain.done),
            None if plain.last_line.elapsed() >= LINE_EVERY => {
                eprintln!("{}: {} of {}", self.what, plain.done, self.total);
                plain.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// The phase is over; its bar stays.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}
