//! The facts of the machine and of the servers, without which no figure means anything.

use std::str::FromStr;

use anyhow::Result;
use hyper::StatusCode;
use sqlx::ConnectOptions;
use sqlx::mysql::MySqlConnectOptions;
use stack::{ServerName, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http_client::Connection;

const UNKNOWN: &str = "unknown";

/// Facts by name, as the report shows them.
pub async fn facts(stack: &Stack) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        (
            "CPU",
            format!("{cores} x {}", line_of("/proc/cpuinfo", "model name")),
        ),
        ("memory", memory()),
        (
            "system",
            line_of("/etc/os-release", "PRETTY_NAME").replace('"', ""),
        ),
        ("kernel", content("/proc/sys/kernel/osrelease")),
        ("database", known(database_version(stack).await)),
        ("Kafka", kafka_version(stack)),
        ("Redis", known(redis_version(stack).await)),
        ("Elasticsearch", known(search_version(stack).await)),
    ]
}

/// What the database calls itself; asks one of the two alike.
async fn database_version(stack: &Stack) -> Result<String> {
    let url = stack.env().order_shards.first().map_or("", String::as_str);
    let mut conn = MySqlConnectOptions::from_str(url)?.connect().await?;
    let version: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut conn)
        .await?;
    Ok(format!("{} {version}", stack.env().database))
}

/// The broker tells it in its log only.
fn kafka_version(stack: &Stack) -> String {
    let log = content(&stack.layout().log(ServerName::Kafka).display().to_string());
    let version = log.rsplit_once("Kafka version: ").map(|(_, rest)| rest);
    let version = version.and_then(|rest| rest.split_whitespace().next());
    version.unwrap_or(UNKNOWN).to_owned()
}

async fn redis_version(stack: &Stack) -> Result<String> {
    let address = stack.env().address(ServerName::Redis).unwrap_or_default();
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"INFO server\r\nQUIT\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let version = answer
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or(UNKNOWN).to_owned())
}

async fn search_version(stack: &Stack) -> Result<String> {
    let mut connection = Connection::open(&stack.env().search_url, None).await?;
    let answer = connection.get("/_nodes/_local").await?;
    let nodes = answer.expect(StatusCode::OK)?;
    let node = nodes["nodes"]
        .as_object()
        .and_then(|nodes| nodes.values().next());
    let version = node.and_then(|node| node["version"].as_str());
    Ok(version.unwrap_or(UNKNOWN).to_owned())
}

fn memory() -> String {
    let kib = line_of("/proc/meminfo", "MemTotal");
    let kib: f64 = kib
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap_or(f64::NAN);
    format!("{:.0} GiB", kib / 1_048_576.0)
}

/// What stands behind a name and its `:` or `=`.
fn line_of(path: &str, name: &str) -> String {
    let text = content(path);
    let value = text.lines().find_map(|line| {
        let (found, value) = line.split_once([':', '='])?;
        (found.trim() == name).then(|| value.trim().to_owned())
    });
    value.unwrap_or_else(|| UNKNOWN.to_owned())
}

fn content(path: &str) -> String {
    let text = std::fs::read_to_string(path);
    text.map_or_else(|_| UNKNOWN.to_owned(), |text| text.trim().to_owned())
}

/// A server that was not started for this run is no error.
fn known(version: Result<String>) -> String {
    version.unwrap_or_else(|_| "not running".to_owned())
}
