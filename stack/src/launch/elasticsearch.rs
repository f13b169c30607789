//! Elasticsearch as a single node. It refuses to run as root: then it runs as `nobody`, on a folder
//! outside of the clone, since that user may be unable to reach the clone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use super::Launch;
use crate::downloads;
use crate::env::StackEnv;
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::name::ServerName;
use crate::process::detached;

/// `nobody` and its group, on every Debian.
const UNPRIVILEGED: u32 = 65_534;

const HEAP: &str = "-Xms768m -Xmx768m";

const JVM_OPTIONS: &str = "-XX:+UseG1GC
-Djava.io.tmpdir=${ES_TMPDIR}
20-:--add-modules=jdk.incubator.vector
-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1
-XX:+ExitOnOutOfMemoryError
-XX:ErrorFile=${ES_TMPDIR}/hs_err_pid%p.log
";

const LOG4J2: &str = r"status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = ${sys:es.logs.base_path}${sys:file.separator}elasticsearch.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
";

pub(super) fn prepare(layout: &Layout, env: &StackEnv) -> Result<Launch> {
    let distribution = downloads::elasticsearch()?;
    let as_root = rustix::process::getuid().is_root();
    let home = if as_root {
        layout.elasticsearch_home_for_root()
    } else {
        layout.data(ServerName::Elasticsearch)
    };
    make_folders(layout, &home, as_root)?;
    write_configuration(&home, env, &distribution)?;
    let own_pid_file = home.join("server.pid");
    let _ = fs::remove_file(&own_pid_file);
    if as_root {
        give_away(&home)?;
    }
    let mut command = detached(&distribution.join("bin/elasticsearch"));
    command
        .args(["-d", "-p"])
        .arg(&own_pid_file)
        .env("ES_JAVA_HOME", downloads::java_home()?)
        .env("ES_JAVA_OPTS", HEAP)
        .env("ES_PATH_CONF", home.join("config"))
        .env("ES_TMPDIR", home.join("tmp"))
        .env_remove("JAVA_HOME")
        .env_remove("JAVA_TOOL_OPTIONS")
        .current_dir(&home);
    if let Some(option) = launcher_temporary_files_in(&home.join("tmp")) {
        command.env("CLI_JAVA_OPTS", option);
    }
    if as_root {
        command
            .uid(UNPRIVILEGED)
            .gid(UNPRIVILEGED)
            .env("HOME", &home);
    }
    Ok(Launch {
        command,
        own_pid_file: Some(own_pid_file),
    })
}

/// The launcher leaves folders behind, which are to be ours; but its options are cut at spaces.
fn launcher_temporary_files_in(folder: &Path) -> Option<String> {
    let folder = folder.to_str()?;
    let whole = !folder.contains(char::is_whitespace);
    whole.then(|| format!("-Djava.io.tmpdir={folder}"))
}

/// Removes what stands outside of the root, if anything does.
pub(crate) fn remove_files_outside_root(layout: &Layout) -> Result<()> {
    let home = layout.elasticsearch_home_for_root();
    if home.exists() {
        fs::remove_dir_all(&home).at(&home)?;
    }
    Ok(())
}

fn make_folders(layout: &Layout, home: &Path, as_root: bool) -> Result<()> {
    if as_root {
        remove_leftover(home, &layout.data(ServerName::Elasticsearch))?;
    }
    for folder in ["config", "data", "logs", "tmp"] {
        let path = home.join(folder);
        fs::create_dir_all(&path).at(&path)?;
    }
    if as_root {
        Layout::link(home, &layout.data(ServerName::Elasticsearch))?;
    }
    Layout::link(
        &home.join("logs/elasticsearch.log"),
        &layout.log(ServerName::Elasticsearch),
    )
}

/// A folder outside of the root that the root does not link to belonged to an earlier stack of the
/// same path, whose root was deleted: its documents must not come up in this one.
fn remove_leftover(home: &Path, link: &Path) -> Result<()> {
    let ours = fs::read_link(link).is_ok_and(|target| target == home);
    if !ours && home.exists() {
        fs::remove_dir_all(home).at(home)?;
    }
    Ok(())
}

/// The distribution's own small files (users, roles) must be there; ours replace the rest. A setting
/// that the node does not know is fatal to it.
fn write_configuration(home: &Path, env: &StackEnv, distribution: &Path) -> Result<()> {
    let config = home.join("config");
    let stock = distribution.join("config");
    for name in ["roles.yml", "role_mapping.yml", "users", "users_roles"] {
        let target = config.join(name);
        if !target.exists() && stock.join(name).exists() {
            fs::copy(stock.join(name), &target).at(&target)?;
        }
    }
    let files = [
        ("elasticsearch.yml", settings(home, env)?),
        ("jvm.options", JVM_OPTIONS.to_owned()),
        ("log4j2.properties", LOG4J2.to_owned()),
    ];
    for (name, content) in files {
        let path = config.join(name);
        fs::write(&path, content).at(&path)?;
    }
    Ok(())
}

fn settings(home: &Path, env: &StackEnv) -> Result<String> {
    let (host, port) = super::required_address(env, ServerName::Elasticsearch)?;
    let transport_port = super::split_address(&env.search_transport).map_or(0, |(_, port)| port);
    let home = home.display();
    Ok(format!(
        "cluster.name: holdfast
node.name: local
path.data: {home}/data
path.logs: {home}/logs
http.host: {host}
http.port: {port}
transport.host: {host}
transport.port: {transport_port}
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
"
    ))
}

/// Hands the folder to the unprivileged user. Its data are handed over already after the first time.
fn give_away(home: &Path) -> Result<()> {
    let parent = home.parent().map(Path::to_path_buf).unwrap_or_default();
    for path in [parent, home.to_path_buf()] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).at(&path)?;
    }
    let mut pending: Vec<PathBuf> = vec![home.to_path_buf()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().at(&path)?;
        chown(&path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).at(&path)?;
        if metadata.is_dir() && !path.ends_with("data/indices") {
            let entries = fs::read_dir(&path).at(&path)?;
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_of_a_deleted_stack_of_the_same_path_do_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (home, link) = (folder.path().join("home"), folder.path().join("link"));
        let document = home.join("data/document");
        fs::create_dir_all(home.join("data")).unwrap();
        fs::write(&document, "old").unwrap();

        Layout::link(&home, &link).unwrap();
        remove_leftover(&home, &link).unwrap();
        assert!(document.exists(), "the stack's own data are gone");

        fs::remove_file(&link).unwrap();
        remove_leftover(&home, &link).unwrap();
        assert!(!home.exists());
        remove_leftover(&home, &link).unwrap();
    }
}
