//! What the engine logs for a person to look at, kept for the test to read.

use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::subscriber::DefaultGuard;

/// Listens to this thread: the test must run on a single one.
pub struct Alarms {
    said: Said,
    _listening: DefaultGuard,
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Alarms {
    pub fn listen() -> Self {
        let said = Said::default();
        let sink = said.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::ERROR)
            .with_ansi(false)
            .with_writer(move || sink.clone())
            .finish();
        Self {
            said,
            _listening: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The lines that hold each of these words.
    pub fn with(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.said.0.lock().unwrap().clone()).unwrap();
        let holds = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(holds).map(str::to_owned).collect()
    }
}
