//! Our topics: made once by `holdfast setup`, which also checks them; those that the consumer works with
//! are checked at each of its starts.
//!
//! A topic that compacts or forgets early would lose accepted orders, so a service refuses to
//! work with it. A topic that is not there yet, or a broker that is silent, may come: that is
//! [`TopicError::Unready`].

use crate::retry_topic::RetryParts;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::{Deserialize, Serialize};
use service::kafka::KafkaSettings;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A copy is its record and more headers, so its topic takes more than the commands'.
const COPY_BYTES_MAX: u32 = 2 * 1024 * 1024;

/// Section `[topics]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// Of the commands' topic: fixed for good, because an order's partition is.
    pub partitions: u16,
    /// How long commands are kept at least.
    pub retention_days: u16,
    /// Copies of each partition; 3 in production.
    pub replication_factor: u16,
    /// Copies that must have a record before it is acknowledged; 2 in production.
    pub min_insync_replicas: u16,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            partitions: 12,
            retention_days: 30,
            replication_factor: 1,
            min_insync_replicas: 1,
        }
    }
}

/// Why the topics cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Waiting may help: the broker is silent or the topic is not there yet.
    #[error("{0}")]
    Unready(String),
    /// The topic is not fit for us; somebody has to change it.
    #[error("the topic {topic} {problem}")]
    Unfit {
        /// Which topic.
        topic: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<KafkaError> for TopicError {
    fn from(error: KafkaError) -> Self {
        Self::Unready(format!("Kafka cannot be asked about its topics: {error}"))
    }
}

/// What one of our topics must be like.
struct Wanted<'a> {
    name: &'a str,
    partitions: i32,
    /// None means that nothing may ever be deleted.
    retention_days: Option<u16>,
}

/// What the consumer works with: the commands, the dead letters, and what waits for an order shard.
fn wanted<'a>(
    kafka: &'a KafkaSettings,
    settings: &TopicSettings,
    order_shards: u16,
) -> [Wanted<'a>; 3] {
    let parts = RetryParts {
        partitions: settings.partitions,
        shards: order_shards,
    };
    let days = Some(settings.retention_days);
    let topic = |name, partitions, retention_days| Wanted {
        name,
        partitions,
        retention_days,
    };
    [
        topic(&kafka.commands_topic, i32::from(settings.partitions), days),
        topic(&kafka.dead_letter_topic, 1, None),
        topic(&kafka.retry_topic, parts.count(), days),
    ]
}

/// What the follower publishes to: an order's events have the partition of its commands.
fn wanted_events<'a>(kafka: &'a KafkaSettings, settings: &TopicSettings) -> Wanted<'a> {
    Wanted {
        name: &kafka.events_topic,
        partitions: i32::from(settings.partitions),
        retention_days: Some(settings.retention_days),
    }
}

impl Wanted<'_> {
    fn retention_ms(&self) -> Option<i64> {
        self.retention_days.map(|days| i64::from(days) * DAY_MS)
    }
}

/// Makes the topics that are missing, and the parts of the retry topic that new order shards need;
/// then checks all. Running it again changes nothing.
pub async fn ensure(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    order_shards: u16,
) -> Result<(), TopicError> {
    let (wanted, events) = (
        wanted(kafka, settings, order_shards),
        wanted_events(kafka, settings),
    );
    for topic in wanted.iter().chain([&events]) {
        make(kafka, settings, topic).await?;
    }
    let waited = tokio::time::timeout(TIMEOUT, until_known(kafka, settings, order_shards)).await;
    waited.unwrap_or_else(|_| {
        Err(TopicError::Unready(
            "the new topics do not show up".to_owned(),
        ))
    })
}

async fn make(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    wanted: &Wanted<'_>,
) -> Result<(), TopicError> {
    let (admin, name) = (admin(kafka)?, wanted.name);
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let min_isr = settings.min_insync_replicas.to_string();
    let retention = wanted.retention_ms().unwrap_or(-1).to_string();
    let bytes_max = COPY_BYTES_MAX.to_string();
    let replication = TopicReplication::Fixed(i32::from(settings.replication_factor));
    let mut topic = NewTopic::new(name, wanted.partitions, replication)
        .set("cleanup.policy", "delete")
        .set("min.insync.replicas", &min_isr)
        .set("retention.ms", &retention);
    if name != kafka.commands_topic {
        topic = topic.set("max.message.bytes", &bytes_max);
    }
    let cannot = |code| TopicError::Unready(format!("cannot make the topic {name}: {code}"));
    for made in admin.create_topics([&topic], &options).await? {
        match made {
            Ok(topic) => tracing::info!(topic, "A topic was made."),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if name == kafka.retry_topic => {
                grow(&admin, wanted, &options).await?;
            }
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(cannot(code)),
        }
    }
    Ok(())
}

async fn grow(
    admin: &AdminClient<DefaultClientContext>,
    wanted: &Wanted<'_>,
    options: &AdminOptions,
) -> Result<(), TopicError> {
    let name = wanted.name;
    let count = usize::try_from(wanted.partitions).unwrap_or(usize::MAX);
    let more = NewPartitions::new(name, count);
    for grown in admin.create_partitions([&more], options).await? {
        match grown {
            Ok(topic) => tracing::info!(topic, count, "A topic has new partitions."),
            // It has as many already.
            Err((_, RDKafkaErrorCode::InvalidPartitions)) => {}
            Err((_, code)) => {
                return Err(TopicError::Unready(format!(
                    "cannot add partitions to the topic {name}: {code}"
                )));
            }
        }
    }
    Ok(())
}

/// A broker does not know at once what the controller has just made.
async fn until_known(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    order_shards: u16,
) -> Result<(), TopicError> {
    loop {
        match check_all(kafka, settings, order_shards).await {
            Err(TopicError::Unready(cause)) => {
                tracing::debug!(cause, "The topics are not known everywhere yet.");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            known @ (Ok(()) | Err(TopicError::Unfit { .. })) => return known,
        }
    }
}

async fn check_all(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    order_shards: u16,
) -> Result<(), TopicError> {
    check(kafka, settings, order_shards).await?;
    check_one(kafka, settings, &wanted_events(kafka, settings)).await
}

/// Checks that the topics the consumer works with are there and keep what they are given.
pub async fn check(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    order_shards: u16,
) -> Result<(), TopicError> {
    for wanted in wanted(kafka, settings, order_shards) {
        check_one(kafka, settings, &wanted).await?;
    }
    Ok(())
}

async fn check_one(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    wanted: &Wanted<'_>,
) -> Result<(), TopicError> {
    let (name, found) = (wanted.name, count_partitions(kafka, wanted.name).await?);
    let problem = format!("has {found} partitions, not {}", wanted.partitions);
    let is_fixed = name == kafka.commands_topic || name == kafka.events_topic;
    if is_fixed && found != wanted.partitions {
        return Err(TopicError::Unfit {
            topic: name.to_owned(),
            problem,
        });
    }
    if name == kafka.retry_topic && found < wanted.partitions {
        return Err(TopicError::Unready(format!(
            "the topic {name} {problem}: run `holdfast setup`"
        )));
    }
    check_configs(kafka, settings, wanted).await
}

async fn check_configs(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    wanted: &Wanted<'_>,
) -> Result<(), TopicError> {
    let name = wanted.name;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let specifier = ResourceSpecifier::Topic(name);
    for described in admin(kafka)?
        .describe_configs([&specifier], &options)
        .await?
    {
        let config = described.map_err(|code| {
            TopicError::Unready(format!("the topic {name} cannot be described: {code}"))
        })?;
        let problem = |problem| TopicError::Unfit {
            topic: name.to_owned(),
            problem,
        };
        check_config(&config, wanted.retention_ms(), settings).map_err(problem)?;
    }
    Ok(())
}

fn admin(kafka: &KafkaSettings) -> Result<AdminClient<DefaultClientContext>, TopicError> {
    Ok(kafka.client_config().create()?)
}

/// `retention_min_ms` of `None` means that nothing may ever be deleted.
fn check_config(
    config: &ConfigResource,
    retention_min_ms: Option<i64>,
    settings: &TopicSettings,
) -> Result<(), String> {
    let text = |name| config.get(name).and_then(|entry| entry.value.as_deref());
    let number = |name| text(name).and_then(|value| value.parse::<i64>().ok());
    if text("cleanup.policy") != Some("delete") {
        return Err(format!("must not compact: {:?}", text("cleanup.policy")));
    }
    let kept = match (number("retention.ms"), retention_min_ms) {
        (Some(-1), _) => true,
        (Some(ms), Some(min)) => ms >= min,
        (Some(_), None) | (None, _) => false,
    };
    if !kept {
        return Err(format!("keeps too little: {:?} ms", text("retention.ms")));
    }
    if number("retention.bytes").is_some_and(|bytes| bytes != -1) {
        return Err("must not be bounded in bytes".to_owned());
    }
    if number("min.insync.replicas") < Some(i64::from(settings.min_insync_replicas)) {
        return Err(format!(
            "has min.insync.replicas {:?}",
            text("min.insync.replicas")
        ));
    }
    Ok(())
}

/// How many partitions the topic has; none means that it is missing, which describing it would
/// not tell.
async fn count_partitions(kafka: &KafkaSettings, topic: &str) -> Result<i32, TopicError> {
    let (admin, name) = (admin(kafka)?, topic.to_owned());
    let count = move || {
        let metadata = admin.inner().fetch_metadata(Some(&name), TIMEOUT)?;
        let found = metadata.topics().iter().find(|t| t.name() == name);
        Ok::<_, KafkaError>(found.map_or(0, |t| t.partitions().len()))
    };
    let counted = tokio::task::spawn_blocking(count).await;
    match counted.map_err(|error| TopicError::Unready(error.to_string()))?? {
        0 => Err(TopicError::Unready(format!(
            "the topic {topic} is missing: run `holdfast setup`"
        ))),
        found => Ok(i32::try_from(found).unwrap_or(i32::MAX)),
    }
}
