//! `direct`: the documents of all orders from memory, written by the follower's own writer, as many at once
//! as there are servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

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
use service::search::SearchSettings;
use service::settings::UrlList;
use stack::Stack;

use crate::cpu::CpuMeter;
use crate::measured::Run;

/// A set of documents as large as the follower's.
type Set = Vec<Arc<RenderedDocument>>;

/// Every order's document, in memory.
pub struct Direct<'a> {
    stack: &'a Stack,
    settings: Settings,
    lanes: Vec<(Server, Vec<Set>)>,
}

impl<'a> Direct<'a> {
    /// Reads all documents.
    pub async fn prepare(stack: &'a Stack) -> Result<Self> {
        let settings = settings(stack)?;
        let mut lanes = Vec::new();
        for server in servers(&settings.stores, &settings.follower).await? {
            let sets = documents(&server, &settings).await?;
            lanes.push((server, sets));
        }
        Ok(Self {
            stack,
            settings,
            lanes,
        })
    }

    /// How many orders there are.
    pub fn rows(&self) -> usize {
        let sets = self.lanes.iter().flat_map(|(_, sets)| sets);
        sets.map(Vec::len).sum()
    }

    /// Loads all documents into an index of its own, which is gone afterwards.
    pub async fn load(&self) -> Result<Run> {
        let search = &self.settings.search;
        let client = SearchClient::new(search)?;
        index::setup(search).await?;
        let mut lanes = Vec::new();
        for (server, sets) in &self.lanes {
            let writer = writer(&client, &self.settings, server).await?;
            lanes.push((writer, sets.clone()));
        }
        let meter = CpuMeter::start(self.stack, &[])?;
        let begun = Instant::now();
        try_join_all(lanes.into_iter().map(async |(writer, sets)| {
            for documents in sets {
                writer.write(&search.alias, documents, Vec::new()).await?;
            }
            anyhow::Ok(())
        }))
        .await?;
        let refresh = format!("/{}/_refresh", search.alias);
        client.json(Method::POST, &refresh, None).await?;
        let run = Run {
            orders: self.rows(),
            took: begun.elapsed(),
            cpu: meter.stop()?,
        };
        ensure_all_there(&client, run.orders).await?;
        for index in [&search.index, &search.follower_index] {
            client
                .json(Method::DELETE, &format!("/{index}"), None)
                .await?;
        }
        Ok(run)
    }
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

/// All documents of a server.
async fn documents(server: &Server, settings: &Settings) -> Result<Vec<Set>> {
    let mut sets = Vec::new();
    for shard in &server.shards {
        let mut chunks = Chunks::open(server, shard, &settings.follower, 0).await?;
        while let Some(chunk) = chunks.next().await? {
            sets.push(Batch::into_parts(chunk.batch).0);
        }
    }
    Ok(sets)
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

async fn ensure_all_there(client: &SearchClient, rows: usize) -> Result<()> {
    let path = format!("/{}/_count", client.names().alias);
    let count = client.json(Method::GET, &path, None).await?["count"].as_u64();
    ensure!(
        count == Some(rows as u64),
        "{count:?} of {rows} documents are there"
    );
    Ok(())
}
