//! A scenario on the whole pipeline: alone on its servers, with a seed, and with everything put back
//! at its end when it fails.

use crate::turns;
use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use holdfast_tests::{Figures, Load, LoadSettings, Merchant, Network, Pipeline, PipelineGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySqlConnection};
use stack::{Server, ServerName, ServerState, StackEnv};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Both database servers.
pub const DATABASES: [ServerName; 2] = [ServerName::Mysql(0), ServerName::Mysql(1)];

/// Whether there is time for the catalogue's own figures: `CHAOS_FULL=1`.
pub fn at_full_length() -> bool {
    std::env::var_os("CHAOS_FULL").is_some()
}

/// A test's world.
pub struct Live {
    pub pipeline: PipelineGuard,
    pub seed: u64,
}

/// Runs a scenario with everything up.
pub async fn live(test: impl AsyncFnOnce(&Live) -> Result<()>) -> Result<()> {
    let _alone = turns::alone().await;
    let seed = match std::env::var("CHAOS_SEED") {
        Ok(text) => text.parse().context("CHAOS_SEED is a number")?,
        Err(_) => u64::from(rand::random::<u32>()),
    };
    let thread = std::thread::current();
    println!("{}: CHAOS_SEED={seed}", thread.name().unwrap_or_default());
    let pipeline = Pipeline::up().await?;
    let live = Live { pipeline, seed };
    let begun = Instant::now();
    let outcome = AssertUnwindSafe(test(&live)).catch_unwind().await;
    println!("took {:.1} s", begun.elapsed().as_secs_f64());
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            live.put_back()
                .await
                .context("and it could not be put back")?;
            Err(error)
        }
        Err(panic) => {
            live.put_back().await?;
            resume_unwind(panic)
        }
    }
}

/// What it is made of.
impl Live {
    pub fn env(&self) -> &StackEnv {
        self.pipeline.stack.env()
    }

    pub fn handle(&self, name: ServerName) -> Server {
        self.pipeline.stack.handle(name)
    }

    /// Choices of this test's own.
    pub fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ 0x5eed)
    }

    /// A database of one server, by its URL.
    pub async fn connect(&self, url: &str) -> Result<MySqlConnection> {
        let options = sqlx::mysql::MySqlConnectOptions::from_str(url)?;
        Ok(options.disable_statement_logging().connect().await?)
    }

    /// Runs a statement on a database server.
    pub async fn sql(&self, server: ServerName, statement: &str) -> Result<()> {
        let ServerName::Mysql(number) = server else {
            bail!("{server} is no database server");
        };
        let url = &self.env().account_shards[usize::from(number)];
        let mut connection = self.connect(url).await?;
        connection
            .execute(AssertSqlSafe(statement.to_owned()))
            .await?;
        Ok(())
    }

    /// What a service's metrics of this name, and with these words in their labels, add up to.
    pub async fn metric(&self, service: ServerName, name: &str, label: &str) -> Result<f64> {
        let url = self.env().metrics_url(service).context("no metrics")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let text = client.get(url).send().await?.text().await?;
        let values = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        let numbers = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(numbers.sum())
    }

    /// How many orders of a merchant have a row, and how many of these have ended.
    pub async fn rows(&self, merchant: &Merchant) -> Result<(i64, i64)> {
        let (mut rows, mut ended) = (0, 0);
        for url in &self.env().order_shards {
            let counts: (i64, i64) = sqlx::query_as(
                "SELECT COUNT(*), CAST(COALESCE(SUM(state >= 10), 0) AS SIGNED) \
                 FROM orders WHERE merchant = ?",
            )
            .bind(&merchant.name)
            .fetch_one(&mut self.connect(url).await?)
            .await?;
            (rows, ended) = (rows + counts.0, ended + counts.1);
        }
        Ok((rows, ended))
    }

    /// Whether an order of a merchant of the tenant `demo` has a row, by its key.
    pub async fn has_row(&self, merchant: &Merchant, key: &str) -> Result<bool> {
        let id = self
            .pipeline
            .id_key()?
            .order_id("demo", &merchant.name, key);
        for url in &self.env().order_shards {
            let found: Option<(i8,)> = sqlx::query_as("SELECT 1 FROM orders WHERE id = ?")
                .bind(&id.as_bytes()[..])
                .fetch_optional(&mut self.connect(url).await?)
                .await?;
            if found.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Load and network.
impl Live {
    /// A load of this many orders.
    pub async fn load_of(&self, orders: usize, pause_ms: u64) -> Result<Load> {
        let settings = LoadSettings {
            orders,
            pause: Duration::from_millis(pause_ms),
            seed: self.seed,
            ..LoadSettings::default()
        };
        Load::start(&self.pipeline, settings).await
    }

    /// A load that goes on until it is finished.
    pub async fn endless_load(&self) -> Result<Load> {
        self.load_of(usize::MAX, 60).await
    }

    /// Ends it; all promises and all invariants hold, nothing is stuck, and some orders were paid
    /// and some cancelled.
    pub async fn finish(&self, mut load: Load) -> Result<Figures> {
        load.stop().await?;
        let figures = load.finish(&self.pipeline).await?;
        ensure!(figures.paid > 0 && figures.cancelled > 0, "{figures:?}");
        ensure!(figures.expired == 0, "{figures:?}");
        self.assert_nothing_is_stuck().await?;
        Ok(figures)
    }

    /// INV-8 at its end: no order waits for anything any more.
    pub async fn assert_nothing_is_stuck(&self) -> Result<()> {
        let (told, code) = self.pipeline.try_holdfast(&["stuck"]).await?;
        ensure!(code == 0, "INV-8: something is stuck:\n{told}");
        Ok(())
    }

    /// Proxies before all servers; these services start anew and come by them.
    pub async fn behind_proxies(&self, services: &[ServerName]) -> Result<Network> {
        let network = Network::before(&self.pipeline.stack).await?;
        self.restart(services).await?;
        Ok(network)
    }

    /// These services start anew.
    pub async fn restart(&self, services: &[ServerName]) -> Result<()> {
        for name in services {
            self.handle(*name).stop().await?;
        }
        Ok(self.pipeline.stack.start_all(services, |_, _| {}).await?)
    }

    /// Whatever a failed test left behind.
    async fn put_back(&self) -> Result<()> {
        for name in ServerName::all() {
            let process = self.handle(name);
            if process.status().state == ServerState::Paused {
                process.resume()?;
            }
        }
        self.pipeline.stack.up_servers().await?;
        for server in DATABASES {
            self.sql(server, "SET GLOBAL read_only = OFF").await?;
            self.sql(server, "SET GLOBAL max_connections = 300").await?;
        }
        self.pipeline.start_whatever_is_down().await
    }
}

/// Asks until it holds.
pub async fn until(
    limit: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        ensure!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
