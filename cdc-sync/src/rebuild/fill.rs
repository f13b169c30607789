//! Makes the new index and fills it from the stores.

use super::record::Phase;
use super::switch::change_aliases;
use super::{Held, Interrupted, Rebuilder};
use crate::error::FollowError;
use crate::index::{IndexBehind, beside_alias, create_orders, index_behind};
use crate::search_client::SearchError;
use crate::search_writer::SearchWriter;
use crate::snapshot::Chunks;
use crate::source::{Server, Shard};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often it is written down how far the filling is; what was written since is written again by a
/// follower that goes on after a kill.
const WRITTEN_DOWN_EVERY: Duration = Duration::from_secs(1);

impl Rebuilder<'_> {
    /// Makes the new index, anew if there is one of that name, and lets every batch go to both.
    pub(super) async fn begin(&self, held: &mut Held) -> Result<(), Interrupted> {
        let old = index_behind(self.client, &self.client.names().alias).await?;
        let new = held.rebuild.to.clone();
        if old.name == new {
            let text = format!("the alias names {new} already");
            return Err(SearchError::Definite(text).into());
        }
        held.rebuild.from = old.name;
        held.rebuild.reached.clear();
        held.rebuild.rows = 0;
        // An earlier attempt may have come so far that documents go there.
        let mut gate = self.close_gate().await?;
        *gate = false;
        self.targets.are_complete(std::iter::once(old.uuid));
        // Whoever was overtaken while it slept removes nothing.
        self.save(held).await?;
        self.remove_index(&new).await?;
        drop(gate);
        create_orders(self.client, &new).await?;
        held.rebuild.last = self.last_rows().await?;
        self.write_beside_too(&new).await?;
        self.enter(held, Phase::Filling).await
    }

    /// The last `seq` of each shard.
    async fn last_rows(&self) -> Result<BTreeMap<String, u64>, FollowError> {
        let mut last = BTreeMap::new();
        for server in self.servers {
            for shard in &server.shards {
                let mut chunks = Chunks::open(server, shard, &self.settings.follower, 0).await?;
                last.insert(shard.name.to_string(), chunks.last().await?);
            }
        }
        Ok(last)
    }

    async fn write_beside_too(&self, index: &str) -> Result<(), SearchError> {
        let mut gate = self.close_gate().await?;
        let beside = beside_alias(self.client.names());
        let actions = json!({ "actions": [
            { "remove": { "index": "*", "alias": beside, "must_exist": false } },
            { "add": { "index": index, "alias": beside, "is_write_index": true } }
        ]});
        change_aliases(self.client, &actions).await?;
        *gate = true;
        Ok(())
    }

    /// Writes every order to the new index, from where that was left off.
    pub(super) async fn fill(&self, held: &mut Held) -> Result<(), Interrupted> {
        for server in self.servers {
            for shard in &server.shards {
                self.fill_from(server, shard, held).await?;
            }
        }
        let indices = self.both().await?;
        self.targets
            .are_complete(indices.into_iter().map(|index| index.uuid));
        self.enter(held, Phase::Comparing).await
    }

    async fn fill_from(
        &self,
        server: &Server,
        shard: &Shard,
        held: &mut Held,
    ) -> Result<(), Interrupted> {
        let name = shard.name.to_string();
        let after = held.rebuild.reached.get(&name).copied().unwrap_or_default();
        let settings = &self.settings.follower;
        let writer = SearchWriter::new(
            self.client.clone(),
            settings.clone(),
            self.health.clone(),
            self.targets.clone(),
            format!("rebuild of {name}"),
        );
        let beside = beside_alias(self.client.names());
        let mut chunks = Chunks::open(server, shard, settings, after).await?;
        let mut written_down = Instant::now();
        let mut next = chunks.next().await?;
        while let Some(chunk) = next {
            let (documents, dead_letters, _) = chunk.batch.into_parts();
            let written = writer.write(&beside, documents, dead_letters);
            // The next rows are read while these are written.
            next = tokio::try_join!(written, chunks.next())?.1;
            held.rebuild.rows += chunk.rows;
            held.rebuild.reached.insert(name.clone(), chunk.last);
            if written_down.elapsed() >= WRITTEN_DOWN_EVERY || next.is_none() {
                written_down = Instant::now();
                self.save(held).await?;
            }
        }
        Ok(())
    }

    /// The index that the alias names, and the one beside it.
    pub(super) async fn both(&self) -> Result<[IndexBehind; 2], SearchError> {
        let names = self.client.names();
        let (alias, beside) = (&names.alias, beside_alias(names));
        let (own, other) = tokio::try_join!(
            index_behind(self.client, alias),
            index_behind(self.client, &beside),
        )?;
        Ok([own, other])
    }

    pub(super) async fn remove_index(&self, index: &str) -> Result<(), SearchError> {
        let path = format!("/{index}?ignore_unavailable=true");
        self.client.json(Method::DELETE, &path, None).await?;
        Ok(())
    }
}
