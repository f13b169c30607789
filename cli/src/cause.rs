//! An error with its causes in one line, nothing said twice.

use std::error::Error;

/// `what: because: because`, where causes that a message already quotes are left out.
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_that_is_quoted_is_not_told_again() {
        let deepest = std::io::Error::other("the disk is full");
        let quoting = anyhow::Error::from(deepest).context("cannot write: the disk is full");
        let outer = Err::<(), _>(quoting).context("the report").unwrap_err();
        assert_eq!(
            told(outer.as_ref()),
            "the report: cannot write: the disk is full"
        );
    }
}
