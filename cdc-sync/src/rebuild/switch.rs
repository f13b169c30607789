//! Lets the alias go over from one index to the other, while nobody writes.
//!
//! Before that, everything that was committed until now must have come through the streams: the new
//! index is filled from the stores, and so may know of an order before the old one does; and after a
//! kill in the middle of a batch either may lack what the other has, until it comes again.

use super::record::Phase;
use super::{Held, Interrupted, Rebuilder, figures};
use crate::error::{FollowError, Transient};
use crate::examine::watermark;
use crate::index::{beside_alias, index_behind, optional_index_behind};
use crate::search_client::{SearchClient, SearchError};
use crate::source::Server;
use crate::targets::ClosedGate;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the writers are waited for. Meanwhile no other batch begins.
const GATE_WITHIN: Duration = Duration::from_secs(5);
/// How long the gate may be closed to refresh and to compare.
const GATE_CLOSED_MAX: Duration = Duration::from_secs(10);
/// How long the streams may take to come to what is committed now.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);

impl Rebuilder<'_> {
    /// Compares both indices, and lets the alias go over where they hold the same, or where the
    /// operator takes the new one all the same.
    pub(super) async fn compare(&self, held: &mut Held) -> Result<(), Interrupted> {
        let names = self.client.names();
        if index_behind(self.client, &names.alias).await?.name == held.rebuild.to {
            // It went over, and that could not be written down.
            return self.enter(held, Phase::Switched).await;
        }
        let gate = self.close_gate_on_equals().await?;
        let differences = self.within_gate(self.differences()).await?;
        let is_same = differences.is_empty();
        held.rebuild.differences = differences;
        if !is_same && !held.rebuild.accepts_differences {
            return self.enter(held, Phase::Differs).await;
        }
        // From here on nobody discards either, and who was overtaken does not go on.
        self.enter(held, Phase::Switching).await?;
        let (from, to) = (held.rebuild.from.clone(), held.rebuild.to.clone());
        self.go_over(gate, from, to).await?;
        self.enter(held, Phase::Switched).await
    }

    /// Lets the alias go back to the index it named before.
    pub(super) async fn switch_back(&self, held: &mut Held) -> Result<(), Interrupted> {
        let (from, to) = (held.rebuild.to.clone(), held.rebuild.from.clone());
        if index_behind(self.client, &self.client.names().alias)
            .await?
            .name
            != to
        {
            let gate = self.close_gate_on_equals().await?;
            self.within_gate(self.refresh_both()).await?;
            self.save(held).await?;
            self.go_over(gate, from.clone(), to.clone()).await?;
        }
        (held.rebuild.from, held.rebuild.to) = (from, to);
        held.rebuild.differences.clear();
        self.enter(held, Phase::Switched).await
    }

    /// Removes the index beside, whichever that is.
    pub(super) async fn discard(&self, held: &mut Held) -> Result<(), Interrupted> {
        let names = self.client.names();
        let own = index_behind(self.client, &names.alias).await?;
        self.targets.write_off_beside();
        let mut gate = self.close_gate().await?;
        *gate = false;
        self.targets.are_complete(std::iter::once(own.uuid));
        let other = optional_index_behind(self.client, &beside_alias(names)).await?;
        self.save(held).await?;
        // One without an alias was only just made.
        let other = other.map_or_else(|| held.rebuild.to.clone(), |other| other.name);
        if other != own.name {
            self.remove_index(&other).await?;
        }
        self.targets.forget_beside();
        drop(gate);
        self.enter(held, Phase::Done).await
    }

    /// Closes the gate where both indices have all that was committed a moment ago.
    async fn close_gate_on_equals(&self) -> Result<ClosedGate, Interrupted> {
        for server in self.servers {
            self.caught_up(server).await?;
        }
        // Most of the work, before anybody has to wait for it.
        self.refresh_both().await?;
        Ok(self.close_gate().await?)
    }

    async fn caught_up(&self, server: &Server) -> Result<(), FollowError> {
        let timeout = Duration::from_millis(self.settings.follower.answer_timeout_ms);
        let mut conn = server.connect().await?;
        let committed = watermark(&mut conn, timeout).await?;
        let until = Instant::now() + CAUGHT_UP_WITHIN;
        while !self.targets.contains(&server.label, &committed.executed) {
            if Instant::now() >= until {
                let label = server.label.clone();
                return Err(Transient::Behind { label }.into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn within_gate<T>(
        &self,
        ask: impl Future<Output = Result<T, SearchError>>,
    ) -> Result<T, SearchError> {
        let answer = tokio::time::timeout(GATE_CLOSED_MAX, ask).await;
        answer.unwrap_or_else(|_| {
            let text = "the indices take too long to be compared while nobody writes";
            Err(SearchError::Transient(text.into()))
        })
    }

    async fn differences(&self) -> Result<Vec<String>, SearchError> {
        self.refresh_both().await?;
        let names = self.client.names();
        let beside = beside_alias(names);
        let (old, new) = tokio::try_join!(
            figures::read(self.client, &names.alias),
            figures::read(self.client, &beside),
        )?;
        Ok(figures::differences(&old, &new))
    }

    /// Exchanges both aliases in one step. The gate stays closed until the answer is there, whatever
    /// becomes of the step that asks.
    async fn go_over(&self, gate: ClosedGate, from: String, to: String) -> Result<(), SearchError> {
        let names = self.client.names();
        let (alias, beside) = (&names.alias, beside_alias(names));
        let actions = json!({ "actions": [
            { "remove": { "index": from, "alias": alias, "must_exist": true } },
            { "remove": { "index": to, "alias": beside, "must_exist": true } },
            { "add": { "index": to, "alias": alias, "is_write_index": true } },
            { "add": { "index": from, "alias": beside, "is_write_index": true } },
        ]});
        let client = self.client.clone();
        let changed = tokio::spawn(async move {
            let changed = change_aliases(&client, &actions).await;
            drop(gate);
            changed
        });
        changed
            .await
            .unwrap_or_else(|error| Err(SearchError::Transient(error.to_string())))
    }

    async fn refresh_both(&self) -> Result<(), SearchError> {
        let names = self.client.names();
        let path = format!("/{},{}/_refresh", names.alias, beside_alias(names));
        self.client.json(Method::POST, &path, None).await?;
        Ok(())
    }

    pub(super) async fn close_gate(&self) -> Result<ClosedGate, SearchError> {
        let closed = self.targets.closed(GATE_WITHIN).await;
        closed.ok_or_else(|| {
            SearchError::Transient("batches are being written that do not come to an end".into())
        })
    }
}

/// Exchanges aliases in one step. What is not answered in time does not wait in a queue any more, and
/// so it does not happen later.
pub(super) async fn change_aliases(
    client: &SearchClient,
    actions: &Value,
) -> Result<(), SearchError> {
    let ms = client.names().request_timeout_ms / 2;
    let path = format!("/_aliases?master_timeout={ms}ms&timeout={ms}ms");
    client.json(Method::POST, &path, Some(actions)).await?;
    Ok(())
}
