//! Who runs the command.

use store::audit::{Author, Via};

/// The operator as the trail names him: his user's name on the operating system, and the machine's.
pub fn operator() -> Author {
    let user = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    let host = whoami::hostname().unwrap_or_else(|_| "unknown".to_owned());
    Author {
        actor: format!("{user}@{host}"),
        via: Via::Command,
        token: None,
        request_id: String::new(),
    }
}
