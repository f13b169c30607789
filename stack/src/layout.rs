//! Where the files of a stack are.
//!
//! Everything is below the root, with one exception: Elasticsearch refuses to run as root, and the
//! user it runs as instead may be unable to traverse the root's parents. Its files then stand below
//! `/var/lib/holdfast/`, in a folder named after the root, and `data/elasticsearch` links to it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Context, Result};
use crate::name::ServerName;

/// The paths of one stack.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`, which is made when it does not exist.
    pub(crate) fn make(root: &Path) -> Result<Self> {
        for folder in ["run", "log", "data", "bin"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).at(&path)?;
        }
        let secrets = root.join("secrets/jwt");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&secrets)
            .at(&secrets)?;
        Self::of(root)
    }

    /// The layout below a root that exists.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let root = root.canonicalize().at(root)?;
        Ok(Self { root })
    }

    /// The root itself, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The addresses, to be sourced by a shell.
    #[must_use]
    pub fn stack_env(&self) -> PathBuf {
        self.root.join("stack.env")
    }

    /// Further variables for our services, if the file is there.
    #[must_use]
    pub fn service_env(&self) -> PathBuf {
        self.root.join("service.env")
    }

    /// Where our services find the servers, if the file is there and that is elsewhere than in
    /// `stack.env`.
    #[must_use]
    pub fn services_see(&self) -> PathBuf {
        self.root.join("services-see.env")
    }

    /// What one of our services takes for the time, if the file is there: an offset such as `+300`.
    #[must_use]
    pub fn clock(&self, name: ServerName) -> PathBuf {
        self.root.join(format!("run/{name}.clock"))
    }

    /// The pid of a server, in decimal.
    #[must_use]
    pub fn pid(&self, name: ServerName) -> PathBuf {
        self.root.join(format!("run/{name}.pid"))
    }

    pub(crate) fn lock(&self, what: &str) -> PathBuf {
        self.root.join(format!("run/{what}.lock"))
    }

    /// What a server wrote to its output.
    #[must_use]
    pub fn log(&self, name: ServerName) -> PathBuf {
        self.root.join(format!("log/{name}.log"))
    }

    /// What a server keeps.
    #[must_use]
    pub fn data(&self, name: ServerName) -> PathBuf {
        self.root.join(format!("data/{name}"))
    }

    /// Keys and other secrets.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// Our own binaries.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Elasticsearch's folder when we are root: outside of the clone, where its user can reach it.
    #[must_use]
    pub fn elasticsearch_home_for_root(&self) -> PathBuf {
        let digest = hex::encode(Sha256::digest(self.root.as_os_str().as_encoded_bytes()));
        Path::new("/var/lib/holdfast").join(&digest[..12])
    }

    /// Makes `link` point to `target`, whatever it pointed to before.
    pub(crate) fn link(target: &Path, link: &Path) -> Result<()> {
        if fs::read_link(link).is_ok_and(|current| current == target) {
            return Ok(());
        }
        if link.symlink_metadata().is_ok() {
            fs::remove_file(link).at(link)?;
        }
        symlink(target, link).at(link)
    }
}
