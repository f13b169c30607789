//! Every promise of the README's table "What survives what" names tests that are there and run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Promises in the table, at least.
const PROMISES_MIN: usize = 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows under the heading, without the table's head.
fn rows(readme: &str) -> Vec<&str> {
    let after = readme.split("## What survives what").nth(1).unwrap();
    let table = after.lines().skip_while(|line| !line.starts_with('|'));
    let table = table.take_while(|line| line.starts_with('|'));
    table.skip(2).collect()
}

/// What stands between backticks in a row's last column.
fn tests_named(row: &str) -> Vec<&str> {
    let last = row.trim_matches('|').rsplit('|').next().unwrap();
    last.split('`').skip(1).step_by(2).collect()
}

/// The text of all test code of the workspace.
fn test_code(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            test_code(&path, text);
        } else if name.ends_with(".rs") && path.components().any(|part| part.as_os_str() == "tests")
        {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Whether a test is ignored; none where there is none. It stands by itself, or in a list that a
/// macro makes tests of.
fn ignored(code: &str, test: &str) -> Option<bool> {
    let Some((before, _)) = code.split_once(&format!("fn {test}(")) else {
        return code.contains(&format!(" {test}\n")).then_some(false);
    };
    let (_, attributes) = before.rsplit_once("\n\n").unwrap_or(("", before));
    Some(attributes.contains("#[ignore"))
}

#[test]
fn a_test_that_is_ignored_holds_nothing() {
    let code = "\n\n#[test]\nfn one() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn two() {}\n";
    assert_eq!(ignored(code, "one"), Some(false));
    assert_eq!(ignored(code, "two"), Some(true));
    assert_eq!(ignored(code, "three"), None);
}

#[test]
fn every_promise_names_tests_that_are_there_and_run() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut code = String::new();
    test_code(&root(), &mut code);
    let rows = rows(&readme);
    assert!(rows.len() >= PROMISES_MIN, "{} promises", rows.len());
    for row in rows {
        let named = tests_named(row);
        assert!(!named.is_empty(), "names no test: {row}");
        for test in named {
            let is_ignored = ignored(&code, test);
            assert!(is_ignored.is_some(), "there is no test {test}");
            assert_eq!(is_ignored, Some(false), "{test} is ignored");
        }
    }
}
