//! `follow`: what the follower does with what `drain` has left in the binlogs, beside a direct load of the
//! same documents by the same writer.
//!
//! `replication` runs from the start of the follower's process until search finds every order as it
//! ended: the binlogs also hold every change of accounts, holds and entries, and each order's versions, and
//! events are published. `snapshot` is a follower without a position, before an empty index. `direct` reads
//! the documents into memory first and then only writes them, as many at once as there are servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cdc_sync::batch::Batch;
use cdc_sync::health::Health;
use cdc_sync::index;
use cdc_sync::rendered_document::RenderedDocument;
use cdc_sync::search_client::SearchClient;
use cdc_sync::search_writer::SearchWriter;
use cdc_sync::settings::{DEFAULT_TOML, Settings};
use cdc_sync::snapshot::Chunks;
use cdc_sync::source::{Server, servers};
use cdc_sync::targets::Targets;
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use service::search::SearchSettings;
use service::settings::UrlList;
use stack::{ServerName, Stack};

use crate::cpu::CpuMeter;
use crate::measured::{FollowRun, PeakMemory, Run};
use crate::say;

const FOLLOWER: ServerName = ServerName::CdcSync;
const LOOK_EVERY: Duration = Duration::from_millis(100);
const FOUND_WITHIN: Duration = Duration::from_secs(900);

/// Measures all three, one after the other. `orders` were made since the follower was stopped.
pub async fn run(stack: &Stack, orders: usize, peaks: &mut PeakMemory) -> Result<FollowRun> {
    let settings = settings(stack)?;
    let client = SearchClient::new(&SearchSettings::of_url(&stack.env().search_url))?;
    let servers = servers(&settings.stores, &settings.follower).await?;
    let rows = rows(&servers, &settings).await?;
    // Not counted: Elasticsearch is to be as warm for it as for what comes after.
    direct(stack, &servers, &settings, rows).await?;
    let direct = direct(stack, &servers, &settings, rows).await?;
    say(&format!("follow: direct {:.0}/s", direct.rate()));
    let replication = follow(stack, &client, orders, rows, peaks).await?;
    say(&format!("follow: replication {:.0}/s", replication.rate()));
    forget(&client).await?;
    let snapshot = follow(stack, &client, rows, rows, peaks).await?;
    say(&format!("follow: snapshot {:.0}/s", snapshot.rate()));
    Ok(FollowRun {
        replication,
        snapshot,
        direct,
    })
}

/// The follower's defaults, on this stack, with an index of the bench's own.
fn settings(stack: &Stack) -> Result<Settings> {
    let mut settings: Settings = service::settings::load(DEFAULT_TOML, None::<PathBuf>.as_deref())?;
    settings.stores.order_shards = UrlList(stack.env().order_shards.clone());
    // What is loaded directly is loaded in sets as large as the follower's.
    settings.follower.snapshot_rows_max = u32::try_from(settings.follower.batch_documents_max)?;
    settings.search = SearchSettings {
        alias: "bench-direct".to_owned(),
        index: "bench-direct-v1".to_owned(),
        follower_index: "bench-direct-follower".to_owned(),
        ..SearchSettings::of_url(&stack.env().search_url)
    };
    Ok(settings)
}

async fn rows(servers: &[Server], settings: &Settings) -> Result<usize> {
    let mut rows = 0;
    for server in servers {
        for shard in &server.shards {
            let mut chunks = Chunks::open(server, shard, &settings.follower, 0).await?;
            while let Some(chunk) = chunks.next().await? {
                rows += chunk.rows;
            }
        }
    }
    Ok(usize::try_from(rows)?)
}

/// Starts the follower and waits until search finds all rows as ended orders; counts `orders` of them.
async fn follow(
    stack: &Stack,
    client: &SearchClient,
    orders: usize,
    rows: usize,
    peaks: &mut PeakMemory,
) -> Result<Run> {
    let begun = Instant::now();
    let meter = CpuMeter::start_with_birth_of(stack, FOLLOWER).await?;
    while ended(client).await? < rows as u64 {
        ensure!(begun.elapsed() < FOUND_WITHIN, "not all orders are found");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took = begun.elapsed();
    let cpu = meter.stop()?;
    peaks.stop(stack, FOLLOWER).await?;
    Ok(Run { orders, took, cpu })
}

/// How many orders a search finds as ended.
async fn ended(client: &SearchClient) -> Result<u64> {
    let query = json!({ "query": { "terms": { "status": ["paid", "cancelled"] } } });
    let counted = client.json(
        Method::POST,
        "/orders/_count?ignore_unavailable=true",
        Some(&query),
    );
    Ok(counted.await?["count"].as_u64().unwrap_or_default())
}

/// Removes the orders' index and the positions.
async fn forget(client: &SearchClient) -> Result<()> {
    let names = client.names();
    for index in [&names.index, &names.follower_index] {
        let path = format!("/{index}?ignore_unavailable=true");
        client.json(Method::DELETE, &path, None).await?;
    }
    Ok(())
}

async fn direct(
    stack: &Stack,
    servers: &[Server],
    settings: &Settings,
    rows: usize,
) -> Result<Run> {
    let client = SearchClient::new(&settings.search)?;
    index::setup(&settings.search).await?;
    let mut lanes = Vec::new();
    for server in servers {
        lanes.push((
            writer(&client, settings, server).await?,
            documents(server, settings).await?,
        ));
    }
    let meter = CpuMeter::start(stack, &[])?;
    let begun = Instant::now();
    let alias = &settings.search.alias;
    try_join_all(lanes.into_iter().map(async |(writer, batches)| {
        for documents in batches {
            writer.write(alias, documents, Vec::new()).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let refresh = format!("/{alias}/_refresh");
    client.json(Method::POST, &refresh, None).await?;
    let took = begun.elapsed();
    let cpu = meter.stop()?;
    let path = format!("/{alias}/_count");
    let count = client.json(Method::GET, &path, None).await?["count"].as_u64();
    ensure!(
        count == Some(rows as u64),
        "{count:?} of {rows} documents are there"
    );
    for index in [&settings.search.index, &settings.search.follower_index] {
        client
            .json(Method::DELETE, &format!("/{index}"), None)
            .await?;
    }
    Ok(Run {
        orders: rows,
        took,
        cpu,
    })
}

async fn writer(
    client: &SearchClient,
    settings: &Settings,
    server: &Server,
) -> Result<SearchWriter> {
    let targets = Targets::find(client).await.context("the bench's index")?;
    Ok(SearchWriter::new(
        client.clone(),
        settings.follower.clone(),
        Health::waiting_for(std::iter::once(server.label.as_str())),
        targets,
        server.label.clone(),
    ))
}

/// All documents of a server, in memory, in sets as large as the follower's.
async fn documents(
    server: &Server,
    settings: &Settings,
) -> Result<Vec<Vec<Arc<RenderedDocument>>>> {
    let mut batches = Vec::new();
    for shard in &server.shards {
        let mut chunks = Chunks::open(server, shard, &settings.follower, 0).await?;
        while let Some(chunk) = chunks.next().await? {
            batches.push(Batch::into_parts(chunk.batch).0);
        }
    }
    Ok(batches)
}
