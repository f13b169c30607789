//! The names of everything a stack can run.

use std::fmt;
use std::str::FromStr;

use crate::error::StackError;

/// One process of a stack, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerName {
    /// `mysql-0` and `mysql-1`: database servers, also when they are MariaDB.
    Mysql(u8),
    /// `kafka`: a broker that is its own controller.
    Kafka,
    /// `redis`.
    Redis,
    /// `elasticsearch`: a single node.
    Elasticsearch,
    /// `order-api`: our HTTP service.
    OrderApi,
    /// `consumer` (number 1), `consumer-2` and `consumer-3`: our Kafka workers.
    Consumer(u8),
    /// `cdc-sync`: our binlog follower.
    CdcSync,
}

impl ServerName {
    /// The servers that are not ours, which start first and stop last.
    pub const SERVERS: [Self; 5] = [
        Self::Mysql(0),
        Self::Mysql(1),
        Self::Kafka,
        Self::Redis,
        Self::Elasticsearch,
    ];

    /// Our services in the usual setting.
    pub const SERVICES: [Self; 3] = [Self::OrderApi, Self::Consumer(1), Self::CdcSync];

    /// Further workers, started by name only.
    pub const EXTRA_SERVICES: [Self; 2] = [Self::Consumer(2), Self::Consumer(3)];

    /// Every name there is, servers first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SERVERS
            .into_iter()
            .chain(Self::SERVICES)
            .chain(Self::EXTRA_SERVICES)
    }

    /// Whether this is one of our own services.
    #[must_use]
    pub fn is_service(self) -> bool {
        matches!(self, Self::OrderApi | Self::Consumer(_) | Self::CdcSync)
    }

    /// The binary of one of our own services.
    pub(crate) fn binary(self) -> Option<&'static str> {
        match self {
            Self::OrderApi => Some("order-api"),
            Self::Consumer(_) => Some("consumer"),
            Self::CdcSync => Some("cdc-sync"),
            Self::Mysql(_) | Self::Kafka | Self::Redis | Self::Elasticsearch => None,
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Mysql(number) => return f.pad(&format!("mysql-{number}")),
            Self::Consumer(number) if *number > 1 => return f.pad(&format!("consumer-{number}")),
            Self::Consumer(_) => "consumer",
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::Elasticsearch => "elasticsearch",
            Self::OrderApi => "order-api",
            Self::CdcSync => "cdc-sync",
        };
        f.pad(name)
    }
}

impl FromStr for ServerName {
    type Err = StackError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|name| name.to_string() == text)
            .ok_or_else(|| {
                let known: Vec<String> = Self::all().map(|name| name.to_string()).collect();
                StackError::UnknownServer(text.to_owned(), known.join(", "))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for name in ServerName::all() {
            assert_eq!(name.to_string().parse::<ServerName>().unwrap(), name);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let problem = "mysql-7".parse::<ServerName>().unwrap_err().to_string();
        assert!(
            problem.contains("mysql-7") && problem.contains("consumer-3"),
            "{problem}"
        );
    }
}
