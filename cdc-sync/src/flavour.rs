//! Which of the two databases a server is.

/// MySQL and MariaDB write nearly the same binlog, and count its transactions differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Transactions are counted by server uuid.
    MySql,
    /// Transactions are counted by domain.
    MariaDb,
}

impl Flavour {
    /// Reads the server's version, such as `10.11.19-MariaDB-log`.
    pub fn of_version(version: &str) -> Self {
        if version.contains("MariaDB") {
            Self::MariaDb
        } else {
            Self::MySql
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_tells_the_flavour() {
        for (version, flavour) in [
            ("9.7.4", Flavour::MySql),
            ("8.4.6-log", Flavour::MySql),
            ("10.11.19-MariaDB-0+deb12u1-log", Flavour::MariaDb),
            ("11.8.3-MariaDB-ubu2404", Flavour::MariaDb),
            ("", Flavour::MySql),
        ] {
            assert_eq!(Flavour::of_version(version), flavour, "{version}");
        }
    }
}
