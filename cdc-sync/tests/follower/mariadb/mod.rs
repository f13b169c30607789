//! The follower on MariaDB, by servers of its own: what MySQL's tests see, and what only MariaDB does.

mod position;
mod refusal;
mod stream;

use crate::world::{World, eventually};
use domain::OrderId;
use futures_util::FutureExt;
use serde_json::Value;
use stack::{Database, Server, Stack, StackOptions};
use std::panic::{AssertUnwindSafe, resume_unwind};
use tempfile::TempDir;

/// A MariaDB server that nobody else uses.
struct OwnServer {
    stack: Stack,
    server: Server,
    folder: TempDir,
}

impl OwnServer {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StackOptions {
            database: Some(Database::MariaDb),
            bin_dir: None,
        };
        let stack = Stack::create(folder.path(), options).await.unwrap();
        let server = stack.server("mysql-0").unwrap();
        server.start().await.unwrap();
        Self {
            stack,
            server,
            folder,
        }
    }

    /// Runs a test in a world of so many order shards, all on a server of its own.
    async fn run(shards: usize, test: impl AsyncFnOnce(&mut World, &Self)) {
        let own = Self::start().await;
        let url = own.stack.env().order_shards[0].clone();
        let tested = World::run_on(vec![url; shards], async |world| test(world, &own).await);
        let ended = AssertUnwindSafe(tested).catch_unwind().await;
        own.stack.down().await.unwrap();
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
    }
}

async fn saved(world: &World) -> Value {
    let saved = world.search.saved_position("orders-0").await;
    saved.unwrap_or_default()
}

/// Waits until the saved position is of this form.
async fn position_is(world: &World, what: &str, holds: impl Fn(&str) -> bool) -> String {
    eventually(what, async || {
        let position = saved(world).await["position"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if holds(&position) {
            Ok(position)
        } else {
            Err(position)
        }
    })
    .await
}

async fn is_found(world: &World, id: &OrderId) {
    eventually("the order is found", async || {
        let document = world.search.document(id).await;
        document.map(drop).ok_or("not yet".to_owned())
    })
    .await;
}

/// Follows until search agrees, and stops: then there is a position.
async fn follow_and_stop(world: &World) {
    let follower = world.follow().await;
    follower.ready().await;
    world.agree().await;
    follower.stop().await;
}
