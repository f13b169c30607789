//! Whether a server does its work: asked in its own language, never guessed from a sleep.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::{ConnectOptions, Connection};

use crate::env::StackEnv;
use crate::name::ServerName;

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// What the server lacked, in a few words.
type NotYet = String;

/// Asks once.
pub(crate) async fn ask(name: ServerName, env: &StackEnv) -> Result<(), NotYet> {
    let answer = async {
        match name {
            ServerName::Mysql(number) => ask_database(env, usize::from(number)).await,
            ServerName::Kafka => ask_kafka(env.kafka_brokers.clone()).await,
            ServerName::Redis => ask_redis(&env.redis_url).await,
            ServerName::Elasticsearch => ask_search(&env.search_url).await,
            ServerName::OrderApi => {
                ask_service(&env.metrics_order_api).await?;
                get(&format!("{}/livez", env.api_url)).await.map(drop)
            }
            ServerName::Consumer(_) | ServerName::CdcSync => {
                ask_service(env.metrics_url(name).unwrap_or_default()).await
            }
        }
    };
    tokio::time::timeout(ATTEMPT_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Err("no answer".to_owned()))
}

/// A login over TLS, which also makes the server remember it, so that later logins need none.
async fn ask_database(env: &StackEnv, number: usize) -> Result<(), NotYet> {
    let url = env.order_shards.get(number).ok_or("no such shard")?;
    use_our_tls_provider();
    let options: sqlx::mysql::MySqlConnectOptions = url.parse().map_err(in_words)?;
    let mut connection = options
        .disable_statement_logging()
        .connect()
        .await
        .map_err(in_words)?;
    connection.ping().await.map_err(in_words)?;
    connection.close().await.map_err(in_words)
}

async fn ask_redis(url: &str) -> Result<(), NotYet> {
    let client = redis::Client::open(url).map_err(in_words)?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .map_err(in_words)?;
    let _: String = redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .map_err(in_words)?;
    Ok(())
}

/// The broker answers before it leads its partitions again; ready means that it does.
async fn ask_kafka(brokers: String) -> Result<(), NotYet> {
    let asking = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("log_level", "0")
            .create()
            .map_err(in_words)?;
        let metadata = client
            .fetch_metadata(None, Duration::from_secs(2))
            .map_err(in_words)?;
        if metadata.brokers().is_empty() {
            return Err("no broker in the metadata".to_owned());
        }
        let leaderless = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
            .filter(|partition| partition.leader() < 0)
            .count();
        match leaderless {
            0 => Ok(()),
            count => Err(format!("{count} partitions have no leader")),
        }
    });
    asking.await.map_err(in_words)?
}

/// After a kill the cluster may say red first.
async fn ask_search(url: &str) -> Result<(), NotYet> {
    let health = get(&format!("{url}/_cluster/health")).await?;
    let health: serde_json::Value = serde_json::from_str(&health).map_err(in_words)?;
    match health.get("status").and_then(serde_json::Value::as_str) {
        Some("green" | "yellow") => Ok(()),
        status => Err(format!("cluster is {}", status.unwrap_or("silent"))),
    }
}

async fn ask_service(metrics_url: &str) -> Result<(), NotYet> {
    let admin = metrics_url.trim_end_matches("/metrics");
    get(&format!("{admin}/readyz")).await.map(drop)
}

async fn get(url: &str) -> Result<String, NotYet> {
    use_our_tls_provider();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(in_words)?;
    let response = client.get(url).send().await.map_err(in_words)?;
    let status = response.status();
    let body = response.text().await.map_err(in_words)?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{url} answered {status}"))
    }
}

/// The process may have installed the same one already.
fn use_our_tls_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn in_words(error: impl std::fmt::Display) -> NotYet {
    error.to_string()
}
