//! One test's world: order databases of its own, indices of its own, and a follower between them.

use crate::orders::Shard;
use crate::search::Search;
use cdc_sync::follower::{self, FollowerError};
use cdc_sync::health::Health;
use cdc_sync::settings::{DEFAULT_TOML, Settings};
use cdc_sync::source::servers;
use domain::{ShardName, StoreKind};
use futures_util::FutureExt;
use migrations::ShardIdentity;
use service::settings::UrlList;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(120);

/// Databases, indices, settings: all under a name that no other test has.
pub struct World {
    pub settings: Settings,
    pub shards: Vec<Shard>,
    pub search: Search,
    pub suffix: String,
}

/// A variable of the local stack.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests by `make test`, which starts the local servers")
    })
}

/// The first shard URLs of the local stack, one on each server.
fn stack_urls() -> Vec<String> {
    let urls = variable("HOLDFAST_ORDER_SHARDS");
    urls.split(',').map(str::to_owned).collect()
}

impl World {
    /// Runs a test in a world on the local stack's servers, and removes the world after it.
    pub async fn run(test: impl AsyncFnOnce(&mut World)) {
        Self::run_on(stack_urls(), test).await;
    }

    /// Runs a test in a world on these servers.
    pub async fn run_on(urls: Vec<String>, test: impl AsyncFnOnce(&mut World)) {
        service::start("cdc-sync-tests");
        let _ = service::logs::init(&service::logs::LogSettings {
            filter: std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned()),
            format: service::logs::LogFormat::Text,
        });
        let mut world = Self::make(urls).await;
        let ended = AssertUnwindSafe(test(&mut world)).catch_unwind().await;
        world.remove().await;
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }

    async fn make(urls: Vec<String>) -> Self {
        let number: u32 = rand::random();
        let suffix = format!("t{number:08x}");
        let mut settings: Settings = service::settings::load(DEFAULT_TOML, None).unwrap();
        let mut shards = Vec::new();
        for (index, url) in urls.iter().enumerate() {
            let index = u16::try_from(index).unwrap();
            shards.push(Shard::make(url, index, &format!("cdc_{suffix}_{index}")).await);
        }
        settings.stores.order_shards = UrlList(shards.iter().map(|s| s.url.clone()).collect());
        settings.search.url = variable("HOLDFAST_SEARCH_URL");
        settings.search.alias = format!("{suffix}-orders");
        settings.search.index = format!("{suffix}-orders-v1");
        settings.search.follower_index = format!("{suffix}-follower");
        settings.events.publish = false;
        settings.follower.server_id_base = 1_000_000 + number % 1_000_000_000;
        settings.follower.freshness_interval_ms = 100;
        settings.follower.backoff_max_ms = 500;
        settings.follower.lease_ms = 300;
        let search = Search::new(&settings.search, shards.len());
        Self {
            settings,
            shards,
            search,
            suffix,
        }
    }

    async fn remove(&self) {
        for shard in &self.shards {
            shard.remove().await;
        }
        self.search.remove(&self.suffix).await;
    }

    /// Starts a follower as a task of this process.
    pub async fn follow(&self) -> Following {
        Following::start(self.settings.clone()).await
    }

    /// Waits until the index holds exactly what the stores hold: ids, versions and states.
    pub async fn agree(&self) {
        eventually("search agrees with the stores", async || {
            let mut expected = Vec::new();
            for shard in &self.shards {
                expected.extend(shard.states().await);
            }
            expected.sort();
            let found = self.search.states().await;
            (found == expected).then_some(()).ok_or_else(|| {
                let missing = expected.iter().filter(|e| !found.contains(e)).count();
                format!(
                    "{} found, {} expected, {missing} missing",
                    found.len(),
                    expected.len()
                )
            })
        })
        .await;
    }
}

/// Tries until the answer is good; fails with the last bad one.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(not_yet) if begun.elapsed() > PATIENCE => panic!("{what}: {not_yet}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A running follower.
pub struct Following {
    pub health: Health,
    stop: CancellationToken,
    task: JoinHandle<Result<(), FollowerError>>,
}

impl Following {
    pub async fn start(settings: Settings) -> Self {
        settings.check().unwrap();
        let servers = servers(&settings.stores, &settings.follower).await.unwrap();
        let health = Health::waiting_for(servers.iter().map(|s| s.label.as_str()));
        let stop = CancellationToken::new();
        let run = follower::run(Arc::new(settings), servers, health.clone(), stop.clone());
        Self {
            health,
            stop,
            task: tokio::spawn(run),
        }
    }

    /// Waits until every stream is followed.
    pub async fn ready(&self) {
        eventually("the follower is ready", async || {
            self.health
                .readiness()
                .check()
                .map_err(|missing| format!("{missing:?}"))
        })
        .await;
    }

    /// Waits until it is the one that acts, and follows.
    pub async fn acts(&self) {
        eventually("the follower acts", async || {
            let acts = self.health.is_acting();
            acts.then_some(()).ok_or("it stands by".to_owned())
        })
        .await;
        self.ready().await;
    }

    /// Waits until it says that something is wrong, in words that hold this text.
    pub async fn complains(&self, text: &str) {
        eventually(&format!("the follower says {text:?}"), async || match self
            .health
            .readiness()
            .check()
        {
            Ok(()) => Err("it is content".to_owned()),
            Err(missing) => {
                let said = format!("{missing:?}");
                if said.contains(text) {
                    Ok(())
                } else {
                    Err(said)
                }
            }
        })
        .await;
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends it in the middle of whatever it does.
    pub async fn abort(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Why it ended by itself.
    pub async fn failure(self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended
            .expect("the follower goes on")
            .unwrap()
            .unwrap_err()
            .to_string()
    }
}

/// The name of order shard `index`.
pub fn shard_identity(index: u16) -> ShardIdentity {
    ShardIdentity {
        name: ShardName {
            store: StoreKind::Orders,
            index,
        },
        slot_map_epoch: 1,
    }
}
