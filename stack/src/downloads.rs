//! Where the programs are that the fetch scripts brought.

use std::path::{Path, PathBuf};

use crate::env::Database;
use crate::error::{Result, StackError};

const KAFKA: &str = "kafka-4.1.1";
const ELASTICSEARCH: &str = "elasticsearch-8.19.8";

/// The cache outside of the clone: `HOLDFAST_CACHE`, or what the fetch scripts take without it.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("HOLDFAST_CACHE").filter(|value| !value.is_empty()) {
        return PathBuf::from(cache);
    }
    if rustix::process::getuid().is_root() {
        return PathBuf::from("/var/cache/holdfast");
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    PathBuf::from(home).join(".cache/holdfast")
}

/// The folder of MySQL, with its launcher `mysqld` in it.
pub(crate) fn mysql() -> Result<PathBuf> {
    fetched("MySQL", cache().join("mysql"))
}

/// The folder with Kafka's jars.
pub(crate) fn kafka() -> Result<PathBuf> {
    Ok(fetched("Kafka", cache().join(KAFKA))?.join("libs"))
}

/// Elasticsearch's own folder.
pub(crate) fn elasticsearch() -> Result<PathBuf> {
    fetched("Elasticsearch", cache().join(ELASTICSEARCH))
}

/// The database to use when nobody says which: the reference, where it could be fetched.
pub(crate) fn default_database() -> Database {
    if mysql().is_ok() || installed("mariadbd").is_err() {
        Database::Mysql
    } else {
        Database::MariaDb
    }
}

/// A program that apt installs; servers stand in `/usr/sbin`, which is not on everybody's path.
pub(crate) fn installed(program: &'static str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(StackError::NotFetched {
            what: program,
            path: Path::new("/usr/sbin").join(program),
        })
}

/// The home of a Java 17, which runs both Kafka 4 and Elasticsearch 8.
pub(crate) fn java_home() -> Result<PathBuf> {
    let mut homes: Vec<PathBuf> = std::env::var_os("JAVA_HOME")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Ok(folders) = std::fs::read_dir("/usr/lib/jvm") {
        let is_17 = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().contains("17"))
        };
        homes.extend(folders.flatten().map(|entry| entry.path()).filter(is_17));
    }
    homes
        .into_iter()
        .find(|home| home.join("bin/java").is_file())
        .ok_or(StackError::NotFetched {
            what: "Java 17",
            path: PathBuf::from("/usr/lib/jvm"),
        })
}

/// A folder counts as fetched once its manifest, written last, is there.
fn fetched(what: &'static str, path: PathBuf) -> Result<PathBuf> {
    if path.join("MANIFEST.sha256").is_file() {
        Ok(path)
    } else {
        Err(StackError::NotFetched { what, path })
    }
}
