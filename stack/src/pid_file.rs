//! The pid of a server, kept beside its data for other commands and other people's tools.
//!
//! `NAME.pid` holds the bare pid. `NAME.born` holds when that process started, so that a pid which
//! the system has given to somebody else since is never taken for ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Context, Result};
use crate::process::Identity;

/// The two files of one server.
#[derive(Debug, Clone)]
pub(crate) struct PidFile {
    pid: PathBuf,
    born: PathBuf,
}

impl PidFile {
    pub(crate) fn new(pid: PathBuf) -> Self {
        let born = pid.with_extension("born");
        Self { pid, born }
    }

    pub(crate) fn write(&self, identity: &Identity) -> Result<()> {
        let born = format!(
            "{} {} {}\n",
            identity.pid, identity.started, identity.boot_id
        );
        replace(&self.born, &born)?;
        replace(&self.pid, &format!("{}\n", identity.pid))
    }

    /// The process that was started last, if it still lives.
    pub(crate) fn living(&self) -> Option<Identity> {
        let born = fs::read_to_string(&self.born).ok()?;
        let mut fields = born.split_whitespace();
        let identity = Identity {
            pid: fields.next()?.parse().ok()?,
            started: fields.next()?.parse().ok()?,
            boot_id: fields.next()?.to_owned(),
        };
        identity.liveness().map(|_| identity)
    }

    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.pid);
        let _ = fs::remove_file(&self.born);
    }

    /// How long ago the file was written.
    pub(crate) fn age(&self) -> Option<Duration> {
        let written = fs::metadata(&self.pid).ok()?.modified().ok()?;
        SystemTime::now().duration_since(written).ok()
    }
}

/// Readers see the old content or the new one, never half of it.
fn replace(path: &Path, content: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, content).at(&partial)?;
    fs::rename(&partial, path).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Identity {
        Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn what_was_written_is_found_alive() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::new(folder.path().join("x.pid"));
        file.write(&ourselves()).unwrap();
        assert_eq!(file.living(), Some(ourselves()));
        let bare = fs::read_to_string(folder.path().join("x.pid")).unwrap();
        assert_eq!(bare.trim(), std::process::id().to_string());
    }

    #[test]
    fn a_reused_pid_is_not_taken_for_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::new(folder.path().join("x.pid"));
        let earlier = Identity {
            started: ourselves().started - 1,
            ..ourselves()
        };
        file.write(&earlier).unwrap();
        assert_eq!(file.living(), None);
    }

    #[test]
    fn a_pid_from_before_a_reboot_is_not_taken_for_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::new(folder.path().join("x.pid"));
        let before = Identity {
            boot_id: "another".to_owned(),
            ..ourselves()
        };
        file.write(&before).unwrap();
        assert_eq!(file.living(), None);
    }

    #[test]
    fn no_file_or_a_torn_one_means_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::new(folder.path().join("x.pid"));
        assert_eq!(file.living(), None);
        fs::write(folder.path().join("x.born"), "12").unwrap();
        assert_eq!(file.living(), None);
    }
}
