//! Where the stack is: the variables of `stack.env`, from the environment or from the file.
//!
//! A variable that is set in the environment wins. The file is looked for beside the binary
//! (`.local/bin/holdfast` belongs to `.local`), then as `.local/stack.env` from the current folder
//! upward.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The variables of a stack and the folder it lives in.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    folder: Option<PathBuf>,
}

/// What is not known of the stack.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Neither set nor in a file.
    #[error("{0} is not set and no .local/stack.env names it: `make up` starts a stack")]
    Missing(&'static str),
    /// No folder of a stack was found.
    #[error(
        "no .local/stack.env beside this command or above the current folder: `make up` makes one"
    )]
    NoFolder,
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
}

impl Environment {
    /// The stack of this process.
    pub fn discover() -> Result<Self, EnvironmentError> {
        let binary = std::env::current_exe().ok();
        let current = std::env::current_dir().ok();
        let folder = find_folder(binary.as_deref(), current.as_deref());
        let mut variables = match &folder {
            Some(folder) => read_file(&folder.join("stack.env"))?,
            None => BTreeMap::new(),
        };
        let set = service::settings::variables(std::env::vars_os());
        variables.extend(set.filter(|(name, _)| name.starts_with("HOLDFAST_")));
        Ok(Self { variables, folder })
    }

    /// The variable's text, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// The variable's text.
    pub fn require(&self, name: &'static str) -> Result<&str, EnvironmentError> {
        self.get(name).ok_or(EnvironmentError::Missing(name))
    }

    /// The stack's folder, `.local`.
    pub fn folder(&self) -> Result<&Path, EnvironmentError> {
        self.folder.as_deref().ok_or(EnvironmentError::NoFolder)
    }
}

fn find_folder(binary: Option<&Path>, current: Option<&Path>) -> Option<PathBuf> {
    let beside = binary.and_then(|path| path.parent()?.parent());
    let above = current.into_iter().flat_map(Path::ancestors);
    beside
        .map(Path::to_path_buf)
        .into_iter()
        .chain(above.map(|folder| folder.join(".local")))
        .find(|folder| folder.join("stack.env").is_file())
}

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| EnvironmentError::Unreadable(path.to_path_buf(), error))?;
    Ok(text.lines().filter_map(parse_line).collect())
}

/// `NAME=value`, perhaps after `export `, perhaps quoted, as a shell would source it.
fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain.then(|| (name.to_owned(), unquoted(value.trim())))
}

fn unquoted(value: &str) -> String {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
        .replace(r"'\''", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack_in(root: &Path) -> PathBuf {
        let folder = root.join(".local");
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(folder.join("stack.env"), "HOLDFAST_API_URL=http://x\n").unwrap();
        folder
    }

    #[test]
    fn the_stack_beside_the_binary_is_taken_before_the_one_above_the_current_folder() {
        let root = tempfile::tempdir().unwrap();
        let (mine, other) = (root.path().join("mine"), root.path().join("other"));
        let (mine_folder, other_folder) = (stack_in(&mine), stack_in(&other));
        let inside = other.join("a/b");
        std::fs::create_dir_all(&inside).unwrap();
        let binary = mine_folder.join("bin/holdfast");
        let found = find_folder(Some(&binary), Some(&inside));
        assert_eq!(found, Some(mine_folder));
        let found = find_folder(Some(Path::new("/usr/bin/holdfast")), Some(&inside));
        assert_eq!(found, Some(other_folder));
    }

    #[test]
    fn lines_are_read_as_a_shell_reads_them() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(parse_line("A_1=b=c"), pair("A_1", "b=c"));
        assert_eq!(parse_line(" export A=\"b c\" "), pair("A", "b c"));
        assert_eq!(parse_line("A='b'"), pair("A", "b"));
        assert_eq!(parse_line("# A=b"), None);
        assert_eq!(parse_line("nothing"), None);
    }
}
