//! The addresses of a stack: typed here, as `stack.env` on disk, and as environment variables.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Context, Result, StackError};
use crate::name::ServerName;
use crate::secrets::write_private;

/// Which database the two database servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Database {
    /// The reference.
    #[default]
    Mysql,
    /// Everything works on it but the binlog follower, and so the search.
    MariaDb,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "mysql",
            Self::MariaDb => "mariadb",
        })
    }
}

impl FromStr for Database {
    type Err = StackError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "mysql" => Ok(Self::Mysql),
            "mariadb" => Ok(Self::MariaDb),
            _ => Err(bad(
                "STACK_DB",
                format!("{text:?} is neither mysql nor mariadb"),
            )),
        }
    }
}

/// Where everything listens. URLs carry no query: clients understand different ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackEnv {
    /// The folder of the stack, absolute; empty when nobody said.
    pub root: PathBuf,
    /// What `mysql-0` and `mysql-1` are.
    pub database: Database,
    /// The HTTP API, without a trailing slash.
    pub api_url: String,
    /// Kafka's bootstrap list, `host:port`.
    pub kafka_brokers: String,
    /// `redis://host:port`.
    pub redis_url: String,
    /// Elasticsearch, without a trailing slash.
    pub search_url: String,
    /// `mysql://` URLs of the order databases, by shard number.
    pub order_shards: Vec<String>,
    /// `mysql://` URLs of the account databases, by shard number.
    pub account_shards: Vec<String>,
    /// Metrics of `order-api`, with the path.
    pub metrics_order_api: String,
    /// Metrics of `consumer`, with the path.
    pub metrics_consumer: String,
    /// Metrics of `consumer-2`, with the path.
    pub metrics_consumer_2: String,
    /// Metrics of `consumer-3`, with the path.
    pub metrics_consumer_3: String,
    /// Metrics of `cdc-sync`, with the path.
    pub metrics_cdc_sync: String,
    /// Kafka's controller, `host:port`; of interest to the stack only.
    pub kafka_controller: String,
    /// Elasticsearch's transport, `host:port`; of interest to the stack only.
    pub search_transport: String,
    /// Where Kafka takes clients that come by a proxy, `host:port`; empty where it does not.
    pub kafka_behind_proxy: String,
    /// Where such clients are told to come, `host:port`: a test may put its proxy there.
    pub kafka_proxy: String,
}

impl StackEnv {
    /// Reads the `HOLDFAST_*` variables of this process, as after sourcing `stack.env`.
    ///
    /// # Errors
    /// When one that names an address is missing.
    pub fn from_process_env() -> Result<Self> {
        Self::from_variables("the environment", &std::env::vars().collect())
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).at(path)?;
        let place = path.display().to_string();
        let env = Self::from_variables(&place, &parse_variables(&place, &text)?)?;
        // Where the file is counts, should somebody have moved the folder.
        let root = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { root, ..env })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text =
            String::from("# Where this stack listens; made once, to be sourced by a shell.\n");
        for (key, value) in self.variables() {
            text.push_str(&format!(
                "export {key}='{}'\n",
                value.replace('\'', r"'\''")
            ));
        }
        write_private(path, &text)
    }

    /// The variables as they stand in `stack.env`.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HOLDFAST_API_URL", self.api_url.clone()),
            ("HOLDFAST_KAFKA_BROKERS", self.kafka_brokers.clone()),
            ("HOLDFAST_REDIS_URL", self.redis_url.clone()),
            ("HOLDFAST_SEARCH_URL", self.search_url.clone()),
            ("HOLDFAST_ORDER_SHARDS", self.order_shards.join(",")),
            ("HOLDFAST_ACCOUNT_SHARDS", self.account_shards.join(",")),
            ("HOLDFAST_METRICS_ORDER_API", self.metrics_order_api.clone()),
            ("HOLDFAST_METRICS_CONSUMER", self.metrics_consumer.clone()),
            (
                "HOLDFAST_METRICS_CONSUMER_2",
                self.metrics_consumer_2.clone(),
            ),
            (
                "HOLDFAST_METRICS_CONSUMER_3",
                self.metrics_consumer_3.clone(),
            ),
            ("HOLDFAST_METRICS_CDC_SYNC", self.metrics_cdc_sync.clone()),
            ("HOLDFAST_STACK_DB", self.database.to_string()),
            ("HOLDFAST_STACK_ROOT", self.root.display().to_string()),
            (
                "HOLDFAST_STACK_KAFKA_CONTROLLER",
                self.kafka_controller.clone(),
            ),
            (
                "HOLDFAST_STACK_SEARCH_TRANSPORT",
                self.search_transport.clone(),
            ),
            (
                "HOLDFAST_STACK_KAFKA_BEHIND_PROXY",
                self.kafka_behind_proxy.clone(),
            ),
            ("HOLDFAST_STACK_KAFKA_PROXY", self.kafka_proxy.clone()),
        ]
    }

    fn from_variables(place: &str, variables: &BTreeMap<String, String>) -> Result<Self> {
        let optional = |key: &str| variables.get(key).cloned().unwrap_or_default();
        let required = |key: &str| match variables.get(key) {
            Some(value) if !value.is_empty() => Ok(value.clone()),
            _ => Err(bad(place, format!("{key} is missing"))),
        };
        let shards = |key: &str| -> Result<Vec<String>> {
            Ok(required(key)?.split(',').map(str::to_owned).collect())
        };
        let database = match optional("HOLDFAST_STACK_DB").as_str() {
            "" => Database::default(),
            name => name.parse()?,
        };
        Ok(Self {
            root: PathBuf::from(optional("HOLDFAST_STACK_ROOT")),
            database,
            api_url: required("HOLDFAST_API_URL")?,
            kafka_brokers: required("HOLDFAST_KAFKA_BROKERS")?,
            redis_url: required("HOLDFAST_REDIS_URL")?,
            search_url: required("HOLDFAST_SEARCH_URL")?,
            order_shards: shards("HOLDFAST_ORDER_SHARDS")?,
            account_shards: shards("HOLDFAST_ACCOUNT_SHARDS")?,
            metrics_order_api: required("HOLDFAST_METRICS_ORDER_API")?,
            metrics_consumer: required("HOLDFAST_METRICS_CONSUMER")?,
            metrics_consumer_2: optional("HOLDFAST_METRICS_CONSUMER_2"),
            metrics_consumer_3: optional("HOLDFAST_METRICS_CONSUMER_3"),
            metrics_cdc_sync: required("HOLDFAST_METRICS_CDC_SYNC")?,
            kafka_controller: optional("HOLDFAST_STACK_KAFKA_CONTROLLER"),
            search_transport: optional("HOLDFAST_STACK_SEARCH_TRANSPORT"),
            kafka_behind_proxy: optional("HOLDFAST_STACK_KAFKA_BEHIND_PROXY"),
            kafka_proxy: optional("HOLDFAST_STACK_KAFKA_PROXY"),
        })
    }

    /// The metrics URL of one of our services.
    #[must_use]
    pub fn metrics_url(&self, name: ServerName) -> Option<&str> {
        match name {
            ServerName::OrderApi => Some(&self.metrics_order_api),
            ServerName::Consumer(1) => Some(&self.metrics_consumer),
            ServerName::Consumer(2) => Some(&self.metrics_consumer_2),
            ServerName::Consumer(3) => Some(&self.metrics_consumer_3),
            ServerName::CdcSync => Some(&self.metrics_cdc_sync),
            _ => None,
        }
    }

    /// `host:port` of the address that a server is known by.
    #[must_use]
    pub fn address(&self, name: ServerName) -> Option<&str> {
        let url = match name {
            ServerName::Mysql(number) => self.order_shards.get(usize::from(number))?,
            ServerName::Kafka => &self.kafka_brokers,
            ServerName::Redis => &self.redis_url,
            ServerName::Elasticsearch => &self.search_url,
            ServerName::OrderApi => &self.api_url,
            ServerName::Consumer(_) | ServerName::CdcSync => self.metrics_url(name)?,
        };
        Some(host_and_port(url))
    }

    /// The port that a server is known by.
    #[must_use]
    pub fn port(&self, name: ServerName) -> Option<u16> {
        self.address(name)?.rsplit_once(':')?.1.parse().ok()
    }
}

/// What stands between the credentials and the path of a URL.
pub(crate) fn host_and_port(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority);
    rest.rsplit_once('@').map_or(rest, |(_, address)| address)
}

/// Reads lines of `KEY=value`, `KEY='value'` or `export KEY=...`; `#` begins a comment line.
pub(crate) fn parse_variables(place: &str, text: &str) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=') else {
            return Err(bad(place, format!("line {} is not KEY=value", number + 1)));
        };
        variables.insert(key.trim().to_owned(), unquote(value.trim()));
    }
    Ok(variables)
}

fn unquote(value: &str) -> String {
    for quote in ['\'', '"'] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner.replace(r"'\''", "'");
        }
    }
    value.to_owned()
}

fn bad(place: &str, problem: String) -> StackError {
    StackError::BadEnvironment {
        place: place.to_owned(),
        problem,
    }
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
