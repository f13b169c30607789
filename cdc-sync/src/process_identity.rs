//! Which process somebody is, so that another one on the same machine can tell that it is gone.
//!
//! A number alone is not enough, for it is given again: the process's start, the machine's, and the
//! space of numbers it is out of (containers have their own) stand beside it.

use std::fs;

/// A process in words that name no other one, ever; none where the system does not tell.
pub fn own() -> Option<String> {
    identity(&space()?, std::process::id())
}

/// Whether that process is known to be gone. Of one elsewhere nothing is known.
pub fn is_gone(identity_then: &str) -> bool {
    let parts = identity_then
        .rsplit_once(' ')
        .and_then(|(rest, _)| rest.rsplit_once(' '));
    let Some((space_then, pid)) = parts else {
        return false;
    };
    let (Some(space), Ok(pid)) = (space(), pid.parse()) else {
        return false;
    };
    space == space_then && identity(&space, pid).as_deref() != Some(identity_then)
}

/// The machine's start and the space that process numbers are given in.
fn space() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), numbers.display()))
}

/// None where no such process runs.
fn identity(space: &str, pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it are the third and on.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let (state, started) = (fields.first()?, fields.get(19)?);
    (!matches!(*state, "Z" | "X")).then(|| format!("{space} {pid} {started}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_gone_and_an_ended_one_is() {
        assert!(!is_gone(&own().unwrap()));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let identity = identity(&space().unwrap(), child.id()).unwrap();
        assert!(!is_gone(&identity));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&identity));
    }

    #[test]
    fn a_number_that_was_given_again_is_another_process() {
        let (before, started) = own()
            .map(|own| {
                let (before, started) = own.rsplit_once(' ').unwrap();
                (before.to_owned(), started.parse::<u64>().unwrap())
            })
            .unwrap();
        assert!(is_gone(&format!("{before} {}", started - 1)));
    }

    #[test]
    fn nothing_is_known_of_a_process_elsewhere_or_of_other_words() {
        let pid = std::process::id();
        for elsewhere in [
            format!("another-boot pid:[1] {pid} 1"),
            "host/7/0a".into(),
            String::new(),
            "a b c d".into(),
        ] {
            assert!(!is_gone(&elsewhere), "{elsewhere}");
        }
    }
}
