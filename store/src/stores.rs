//! The connections to every shard of both stores, and what is built on them.

use crate::audit::AuditTrail;
use crate::session::{SessionPlan, connect_options};
use crate::{
    AccountParticipant, AccountStore, OrderLog, OrderLogSettings, OrderStore, Routing, StoreError,
    StoresSettings,
};
use domain::{ShardName, StoreKind};
use futures_util::future::join_all;
use saga::{Shard, Shards};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use std::time::Duration;

/// A connection idle for longer than this is tested before it is used: a server that was restarted
/// has forgotten it. No server restarts in less, so that busy connections pay for no test.
const IDLE_UNTESTED: Duration = Duration::from_millis(500);

/// An older connection is replaced, so that what a server keeps for a session does not grow for ever.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Takes of each table the lock that the sets take, and no row.
const ORDERS_PROBE: &[&str] = &["UPDATE orders SET state = state WHERE FALSE"];
const ACCOUNTS_PROBE: &[&str] = &[
    "UPDATE accounts SET held = held WHERE FALSE",
    "UPDATE holds SET state = state WHERE FALSE",
    "INSERT INTO entries SELECT * FROM entries WHERE FALSE",
];

/// Both stores. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Reads of orders.
    pub orders: OrderStore,
    /// Accounts: open, find, close, fund, their statements.
    pub accounts: AccountStore,
    /// Who did what.
    pub audit: AuditTrail,
    pub(crate) databases: Arc<Databases>,
}

/// Every database in the engine's order, and who lives where.
#[derive(Debug)]
pub(crate) struct Databases {
    pub routing: Arc<Routing>,
    list: Vec<Database>,
    connect_timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Database {
    plan: SessionPlan,
    options: MySqlConnectOptions,
    pub pool: MySqlPool,
}

impl Stores {
    /// Prepares the connections; none is made before it is needed, so a database that is down
    /// does not prevent the start. Each new connection's database must carry its shard's name,
    /// or it is not used.
    pub fn connect(settings: &StoresSettings) -> Result<Self, StoreError> {
        let routing = Arc::new(Routing::new(settings)?);
        let databases = routing
            .names()
            .map(|name| Database::new(name, settings))
            .collect::<Result<_, _>>()?;
        let databases = Arc::new(Databases {
            routing,
            list: databases,
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
        });
        Ok(Self {
            orders: OrderStore::new(databases.clone()),
            accounts: AccountStore::new(databases.clone()),
            audit: AuditTrail::new(databases.clone()),
            databases,
        })
    }

    /// Asks every database for its name. Answers those that cannot be reached, with the cause;
    /// fails when one of them is another shard's: then the service must not start.
    pub async fn check_identities(&self) -> Result<Vec<(ShardName, String)>, StoreError> {
        let timeout = self.databases.connect_timeout;
        let checks = self
            .databases
            .list
            .iter()
            .map(|d| d.check_identity(timeout));
        let mut unreachable = Vec::new();
        for (name, checked) in join_all(checks).await {
            match checked {
                Ok(()) => {}
                Err(error @ (StoreError::Transient { .. } | StoreError::Definite { .. })) => {
                    unreachable.push((name, error.to_string()));
                }
                Err(error @ (StoreError::WrongDatabase { .. } | StoreError::Settings(_))) => {
                    return Err(error);
                }
            }
        }
        Ok(unreachable)
    }

    /// The databases as the engine knows them: order shards first, then account shards.
    pub fn shards(&self) -> Shards {
        let shard = |database: &Database| Shard {
            name: database.plan.name.to_string(),
            pool: database.pool.clone(),
            probe: match database.plan.name.store {
                StoreKind::Orders => ORDERS_PROBE,
                StoreKind::Accounts => ACCOUNTS_PROBE,
            },
        };
        Shards::new(self.databases.list.iter().map(shard).collect())
    }

    /// Which shard holds what.
    pub fn routing(&self) -> &Arc<Routing> {
        &self.databases.routing
    }

    /// The connections of one database.
    pub fn pool(&self, name: ShardName) -> &MySqlPool {
        self.databases.pool(name)
    }

    /// The orders as the engine's log.
    pub fn order_log(&self, settings: OrderLogSettings) -> OrderLog {
        OrderLog::new(self.databases.routing.clone(), settings)
    }

    /// The accounts as the engine's participant.
    pub fn account_participant(&self) -> AccountParticipant {
        AccountParticipant
    }

    /// Closes every connection.
    pub async fn close(&self) {
        join_all(self.databases.list.iter().map(|d| d.pool.close())).await;
    }
}

impl Databases {
    /// The connections of this shard.
    pub fn pool(&self, name: ShardName) -> &MySqlPool {
        &self.list[usize::from(self.routing.shard_id(name).0)].pool
    }

    /// The shards of one store.
    pub fn of(&self, store: StoreKind) -> impl Iterator<Item = (ShardName, &MySqlPool)> {
        let of_store = move |d: &&Database| d.plan.name.store == store;
        self.list.iter().filter(of_store).map(Database::named)
    }
}

impl Database {
    fn named(&self) -> (ShardName, &MySqlPool) {
        (self.plan.name, &self.pool)
    }

    fn new(name: ShardName, settings: &StoresSettings) -> Result<Self, StoreError> {
        let url = &settings.urls(name.store)[usize::from(name.index)];
        let options = connect_options(url, settings)?;
        let plan = SessionPlan::new(name, settings);
        let pool_plan = plan.clone();
        let pool = MySqlPoolOptions::new()
            .max_connections(settings.connections_max)
            .acquire_timeout(Duration::from_millis(settings.connect_timeout_ms))
            // The pool's own upkeep looks at idle connections now and then, and whatever it has looked
            // at seems used a moment ago: it stays off.
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .before_acquire(|conn, meta| {
                Box::pin(async move {
                    if meta.age > LIFETIME {
                        return Ok(false);
                    }
                    Ok(meta.idle_for < IDLE_UNTESTED || conn.ping().await.is_ok())
                })
            })
            .after_connect(move |conn, _| {
                let plan = pool_plan.clone();
                Box::pin(async move {
                    plan.settle(conn).await?;
                    let checked = plan.check_identity(conn).await;
                    checked.map_err(|error| sqlx::Error::Configuration(error.into()))
                })
            })
            .connect_lazy_with(options.clone());
        Ok(Self {
            plan,
            options,
            pool,
        })
    }

    /// Outside the pool, which would try again until its time is up and hide the cause.
    async fn check_identity(&self, timeout: Duration) -> (ShardName, Result<(), StoreError>) {
        let name = self.plan.name;
        let check = async {
            let connected = self.options.connect().await;
            let mut conn = connected.map_err(|error| StoreError::of(name, error))?;
            let checked = self.plan.check_identity(&mut conn).await;
            // The answer is known; whether the goodbye arrives does not matter.
            let _ = conn.close().await;
            checked
        };
        let timed = tokio::time::timeout(timeout, check).await;
        (
            name,
            timed.unwrap_or_else(|_| Err(StoreError::of(name, sqlx::Error::PoolTimedOut))),
        )
    }
}
