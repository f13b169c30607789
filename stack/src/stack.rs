//! A stack as a whole: made once with its ports and secrets, then brought up and down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::downloads;
use crate::env::{Database, StackEnv};
use crate::error::{Context, Result, StackError};
use crate::launch;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::name::ServerName;
use crate::ports::FreePorts;
use crate::secrets;
use crate::server::{Server, StopOutcome};

/// How to make a stack; the default suits everybody but special tests.
#[derive(Debug, Clone, Default)]
pub struct StackOptions {
    /// The database; without it, what `STACK_DB` says, else MySQL where it was fetched.
    pub database: Option<Database>,
    /// Where our binaries are, when not in the root's own `bin/`.
    pub bin_dir: Option<PathBuf>,
}

/// What is happening to one server, for whoever shows progress.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// It is being started.
    Starting,
    /// It was started, and is ready after this time.
    Ready(Duration),
    /// It ended, in this way, after this time.
    Stopped(StopOutcome, Duration),
}

/// Told what is happening to each server.
pub type Tell = fn(ServerName, Progress);

/// The servers of one root folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    env: StackEnv,
}

impl Stack {
    /// Opens the stack in `root`, which `holdfast-stack up` or [`Stack::create`] has made.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.join("stack.env").is_file() {
            return Err(StackError::NoStack(root.to_path_buf()));
        }
        let layout = Layout::of(root)?;
        let env = StackEnv::read(&layout.stack_env())?;
        let inner = Arc::new(Inner { layout, env });
        Ok(Self { inner })
    }

    /// Makes a stack in `root`, with free ports and new secrets, or opens the one that is there.
    /// Starts nothing.
    ///
    /// # Errors
    /// When the one that is there runs on another database than the one asked for.
    pub async fn create(root: &Path, options: StackOptions) -> Result<Self> {
        let layout = Layout::make(root)?;
        let _lock = Lock::acquire(&layout.lock("stack")).await?;
        let wanted = match options.database {
            Some(database) => Some(database),
            None => database_from_environment()?,
        };
        secrets::ensure(&layout.secrets())?;
        if let Some(bin_dir) = options.bin_dir {
            use_binaries_of(&layout, &bin_dir)?;
        }
        if !layout.stack_env().exists() {
            let database = wanted.unwrap_or_else(downloads::default_database);
            new_env(layout.root(), database)?.write(&layout.stack_env())?;
        }
        let stack = Self::open(root)?;
        match wanted {
            Some(wanted) if wanted != stack.env().database => Err(StackError::OtherDatabase {
                root: stack.layout().root().to_path_buf(),
                has: stack.env().database.to_string(),
                wanted: wanted.to_string(),
            }),
            _ => Ok(stack),
        }
    }

    /// Where everything listens.
    #[must_use]
    pub fn env(&self) -> &StackEnv {
        &self.inner.env
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// A handle by name, as on the command line.
    ///
    /// # Errors
    /// When nothing has that name.
    pub fn server(&self, name: &str) -> Result<Server> {
        Ok(self.handle(name.parse()?))
    }

    /// A handle by typed name.
    #[must_use]
    pub fn handle(&self, name: ServerName) -> Server {
        Server::new(self.clone(), name)
    }

    /// Our services.
    #[must_use]
    pub fn services(&self) -> Vec<ServerName> {
        ServerName::SERVICES.to_vec()
    }

    /// From its next start on each of our services finds the servers at these addresses, such as
    /// those of proxies.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn let_services_see(&self, env: &StackEnv) -> Result<()> {
        env.write(&self.layout().services_see())
    }

    /// From its next start on each of our services finds the servers themselves; whether that is
    /// news.
    #[must_use]
    pub fn let_services_see_servers(&self) -> bool {
        std::fs::remove_file(self.layout().services_see()).is_ok()
    }

    /// Starts the servers, all at once, and waits until each is ready.
    ///
    /// # Errors
    /// The first failure; the others go on starting.
    pub async fn up_servers(&self) -> Result<()> {
        self.start_all(&ServerName::SERVERS, |_, _| {}).await
    }

    /// Starts our services, all at once, and waits until each is ready.
    ///
    /// # Errors
    /// The first failure; the others go on starting.
    pub async fn up_services(&self) -> Result<()> {
        self.start_all(&self.services(), |_, _| {}).await
    }

    /// Stops whatever runs: our services first, then the servers.
    ///
    /// # Errors
    /// When something is still there after SIGKILL.
    pub async fn down(&self) -> Result<()> {
        self.down_with(|_, _| {}).await
    }

    /// As [`Stack::down`], telling what happens to each.
    ///
    /// # Errors
    /// As [`Stack::down`].
    pub async fn down_with(&self, tell: Tell) -> Result<()> {
        let _lock = Lock::acquire(&self.layout().lock("stack")).await?;
        for services in [true, false] {
            ServerName::all()
                .filter(|name| name.is_service() == services)
                .map(|name| stop(self.handle(name), tell))
                .collect::<JoinSet<_>>()
                .join_all()
                .await
                .into_iter()
                .collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// Starts these, all at once, telling what happens to each.
    ///
    /// # Errors
    /// The first failure, once all are ready or have failed.
    pub async fn start_all(&self, names: &[ServerName], tell: Tell) -> Result<()> {
        let _lock = Lock::acquire(&self.layout().lock("stack")).await?;
        names
            .iter()
            .map(|name| start(self.handle(*name), tell))
            .collect::<JoinSet<_>>()
            .join_all()
            .await
            .into_iter()
            .collect()
    }

    /// Stops everything and removes its data, so that the next start is a first one. Addresses,
    /// secrets, binaries and logs stay.
    ///
    /// # Errors
    /// When something cannot be stopped or removed.
    pub async fn wipe_data(&self) -> Result<()> {
        self.down().await?;
        launch::remove_files_outside_root(self.layout())?;
        let data = self.layout().root().join("data");
        std::fs::remove_dir_all(&data).at(&data)?;
        std::fs::create_dir_all(&data).at(&data)
    }
}

async fn start(server: Server, tell: Tell) -> Result<()> {
    let begun = Instant::now();
    tell(server.name(), Progress::Starting);
    server.start().await?;
    tell(server.name(), Progress::Ready(begun.elapsed()));
    Ok(())
}

async fn stop(server: Server, tell: Tell) -> Result<()> {
    let begun = Instant::now();
    let outcome = server.stop().await?;
    tell(server.name(), Progress::Stopped(outcome, begun.elapsed()));
    Ok(())
}

fn database_from_environment() -> Result<Option<Database>> {
    match std::env::var("STACK_DB") {
        Ok(name) if !name.is_empty() => name.parse().map(Some),
        _ => Ok(None),
    }
}

/// The root's `bin/` becomes a link, unless binaries were installed into it.
fn use_binaries_of(layout: &Layout, bin_dir: &Path) -> Result<()> {
    let bin = layout.bin();
    if bin.is_dir() && !bin.is_symlink() {
        std::fs::remove_dir(&bin).at(&bin)?;
    }
    Layout::link(bin_dir, &bin)
}

fn new_env(root: &Path, database: Database) -> Result<StackEnv> {
    let mut ports = FreePorts::new();
    let mut address = || ports.choose().map(|port| format!("127.0.0.1:{port}"));
    let mut shards = (Vec::new(), Vec::new());
    for number in 0..2 {
        let server = format!(
            "mysql://holdfast:{}@{}",
            secrets::random_hex(16),
            address()?
        );
        shards.0.push(format!("{server}/orders_{number}"));
        shards.1.push(format!("{server}/accounts_{number}"));
    }
    let mut metrics = || address().map(|address| format!("http://{address}/metrics"));
    Ok(StackEnv {
        root: root.to_path_buf(),
        database,
        metrics_order_api: metrics()?,
        metrics_consumer: metrics()?,
        metrics_consumer_2: metrics()?,
        metrics_consumer_3: metrics()?,
        metrics_cdc_sync: metrics()?,
        order_shards: shards.0,
        account_shards: shards.1,
        api_url: format!("http://{}", address()?),
        kafka_brokers: address()?,
        kafka_controller: address()?,
        redis_url: format!("redis://{}", address()?),
        search_url: format!("http://{}", address()?),
        search_transport: address()?,
        kafka_behind_proxy: address()?,
        kafka_proxy: address()?,
    })
}
