//! How to reach the servers: the defaults, then `stack.env`, then `HOLDFAST__SECTION__KEY`.

use crate::environment::{Environment, EnvironmentError};
use consumer::topics::TopicSettings;
use serde::Deserialize;
use service::kafka::KafkaSettings;
use service::redis::RedisSettings;
use service::search::SearchSettings;
use service::settings::SettingsError;
use store::StoresSettings;

const DEFAULT: &str = include_str!("../default.toml");

/// The servers of a deployment. Sections of services that share the environment are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// The databases.
    pub stores: StoresSettings,
    /// The log.
    pub kafka: KafkaSettings,
    /// The markers.
    pub redis: RedisSettings,
    /// The index.
    pub search: SearchSettings,
    /// What the topics are made with.
    #[serde(default)]
    pub topics: TopicSettings,
    /// The consumers.
    pub worker: WorkerSettings,
    /// Their engine.
    pub coordinator: CoordinatorSettings,
    /// Whether nothing is searched: `HOLDFAST_SEARCH=off`.
    #[serde(skip)]
    pub search_off: bool,
}

/// What must be known of the consumers; their other settings are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkerSettings {
    /// Their group.
    pub group_id: String,
}

/// What must be known of the consumers' engine; its other settings are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct CoordinatorSettings {
    /// From this many attempts on an order is stuck.
    pub stuck_after_attempts: u32,
}

/// Why the servers cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum ServersUnknown {
    /// A layer of the settings is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An address is missing.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

impl Settings {
    /// The servers that the environment names.
    pub fn of(environment: &Environment) -> Result<Self, ServersUnknown> {
        let mut settings: Self = service::settings::load(DEFAULT, None)?;
        let address = |full_name: &str, name: &'static str| match environment.get(full_name) {
            Some(_) => Ok(None),
            None => environment.require(name).map(Some),
        };
        if let Some(urls) = address("HOLDFAST__STORES__ORDER_SHARDS", "HOLDFAST_ORDER_SHARDS")? {
            settings.stores.order_shards = list(urls);
        }
        if let Some(urls) = address(
            "HOLDFAST__STORES__ACCOUNT_SHARDS",
            "HOLDFAST_ACCOUNT_SHARDS",
        )? {
            settings.stores.account_shards = list(urls);
        }
        if let Some(brokers) = address("HOLDFAST__KAFKA__BROKERS", "HOLDFAST_KAFKA_BROKERS")? {
            settings.kafka.brokers = brokers.to_owned();
        }
        if let Some(url) = address("HOLDFAST__REDIS__URL", "HOLDFAST_REDIS_URL")? {
            settings.redis.url = url.to_owned();
        }
        settings.search_off = environment.get("HOLDFAST_SEARCH") == Some("off");
        if !settings.search_off
            && let Some(url) = address("HOLDFAST__SEARCH__URL", "HOLDFAST_SEARCH_URL")?
        {
            settings.search.url = url.to_owned();
        }
        Ok(settings)
    }
}

fn list(urls: &str) -> Vec<String> {
    let urls = urls.split(',').map(|url| url.trim().to_owned());
    urls.filter(|url| !url.is_empty()).collect()
}
