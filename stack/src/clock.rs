//! A wall clock that one of our services sees shifted, and nobody else.
//!
//! libfaketime stands between the process and the system's clock and reads the offset from a file,
//! once a second, so that the clock can also jump while the process runs. What is measured by the
//! monotonic clock stays true, as on a machine whose time is set. Our own `shifted-waits` is loaded
//! before it, so that waits of C11's threads go by the shifted clock too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, StackError};
use crate::server::Server;

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
const WAITS: &str = "libshifted_waits.so";

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
pub(crate) fn variables(file: &Path, bin: &Path) -> Result<Vec<(&'static str, OsString)>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let library = library().ok_or(StackError::NoShiftedClocks)?;
    let waits = bin.join(WAITS);
    if !waits.is_file() {
        return Err(StackError::NotBuilt(waits));
    }
    let mut preloaded = waits.into_os_string();
    preloaded.push(":");
    preloaded.push(library);
    Ok(vec![
        ("LD_PRELOAD", preloaded),
        ("FAKETIME_TIMESTAMP_FILE", file.into()),
        ("FAKETIME_CACHE_DURATION", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
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
