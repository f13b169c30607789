//! A wall clock that one of our services sees shifted, and nobody else.
//!
//! libfaketime stands between the process and the system's clock and reads the offset from a file,
//! once a second, so that the clock can also jump while the process runs. What is measured by the
//! monotonic clock stays true, as on a machine whose time is set.

use std::path::{Path, PathBuf};

use crate::error::{Context, Result, StackError};
use crate::server::Server;

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

impl Server {
    /// Shifts its clock: seconds ahead, or behind when negative. Felt within a second when it was
    /// started with a clock of its own, else from its next start on.
    ///
    /// # Errors
    /// When it is not one of our services, or the file cannot be written.
    pub fn shift_clock(&self, seconds: i64) -> Result<()> {
        if !self.name().is_service() {
            return Err(StackError::NoClockOfItsOwn(self.name()));
        }
        let file = self.clock_file();
        let partial = file.with_extension("clock-partial");
        std::fs::write(&partial, format!("{seconds:+}\n")).at(&partial)?;
        std::fs::rename(&partial, &file).at(&file)
    }

    /// From its next start on it has the system's clock again.
    pub fn forget_clock(&self) {
        let _ = std::fs::remove_file(self.clock_file());
    }

    /// Whether it starts with a clock of its own, shifted or not.
    #[must_use]
    pub fn has_own_clock(&self) -> bool {
        self.clock_file().exists()
    }
}

/// What a service's environment needs so that it takes its time from this file; nothing when the
/// file is not there.
pub(crate) fn variables(file: &Path) -> Result<Vec<(&'static str, String)>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let library = library().ok_or(StackError::NoShiftedClocks)?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

/// Debian keeps libraries in a folder named after the machine.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .flatten()
        .map(|folder| folder.path().join(LIBRARY))
        .find(|library| library.is_file())
}
